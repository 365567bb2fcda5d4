import {
  type PhonePolicy,
  parseEmail,
  parseLocale,
  parseName,
  parsePhone,
  parseUsername,
} from '../core/contact.js';
import { type PasswordPolicy, parseNewPassword } from '../passwords/index.js';
import { type SignUpDeps, signUp } from '../sign-up/index.js';
import { sendCharges, sourceCharges } from '../throttling/index.js';
import { toAccountMessage } from './account-mapper.js';
import { authRpc } from './auth-rpcs.js';
import { toChallengeMessage } from './challenge-mapper.js';
import { given, MAX_NAME, optionalUuid, together } from './parse.js';
import { toTokenSetMessage } from './token-mapper.js';

export interface SignUpRpcDeps extends SignUpDeps {
  readonly phonePolicy: PhonePolicy;
  readonly passwordPolicy: PasswordPolicy;
}

export function signUpRpcs(deps: SignUpRpcDeps) {
  return {
    signUp: authRpc('signUp', {
      parse: (request) => {
        const { username, email, phoneNumber, displayName, organizationName } = request;
        const region = given(request.region) ?? deps.defaultRegion;
        const personal = [username, email, phoneNumber, displayName].filter(
          (part) => part !== undefined,
        );
        const optional = <T>(
          value: string | undefined,
          read: (text: string) => T,
        ): T | undefined => {
          const text = given(value);
          return text === undefined ? undefined : read(text);
        };
        return together({
          username: () => parseUsername('username', username),
          password: () =>
            parseNewPassword('password', request.password, deps.passwordPolicy, personal),
          email: () => optional(email, (text) => parseEmail('email', text)),
          phone: () =>
            optional(phoneNumber, (text) =>
              parsePhone('phone_number', text, region, deps.phonePolicy),
            ),
          displayName: () =>
            optional(displayName, (text) => parseName('display_name', text, { max: MAX_NAME })),
          locale: () => parseLocale('locale', request.locale),
          organizationName: () =>
            optional(organizationName, (text) =>
              parseName('organization_name', text, { max: MAX_NAME }),
            ),
          requestId: () => optionalUuid('request_id', request.requestId),
        });
      },
      refuses: (leftMs) => deps.hasher.refuses(leftMs),
      admit: (call) => deps.hasher.admit(call),
      charges: (_input, call) => [
        ...sourceCharges('signUpsPerSource', call),
        { limiter: 'signUpsInAll', key: '' },
      ],
      sends: ({ email, phone }, call) => [
        ...(email === undefined ? [] : sendCharges('email', email, call)),
        ...(phone === undefined ? [] : sendCharges('sms', phone, call)),
      ],
      run: async (input, call) => {
        const done = await signUp(deps, call, input);
        call.attribute(done.account.accountId);
        if (done.repeated) call.sentNothing();
        return done;
      },
      toResponse: ({ account, tokens, challenges }) => ({
        account: toAccountMessage(account),
        tokens: toTokenSetMessage(tokens),
        challenges: challenges.map(toChallengeMessage),
      }),
    }),
  };
}
