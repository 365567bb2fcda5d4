import {
  type ConfirmedIdentifier,
  type ConfirmIdentifierDeps,
  confirmIdentifier,
  type SendVerificationCodeDeps,
  type SendVerificationCodeInput,
  sendVerificationCode,
} from '../accounts/index.js';
import {
  type Challenge,
  type FlowRequest,
  type OpenFlowDeps,
  parseCode,
} from '../challenges/index.js';
import type { Person, PersonCall } from '../core/call.js';
import {
  type Channel,
  type Locale,
  type PhonePolicy,
  parseEmail,
  parsePhone,
} from '../core/contact.js';
import { fieldInvalid } from '../core/errors.js';
import { rememberSource, sendCharges } from '../throttling/index.js';
import { toIdentifierMessage } from './account-mapper.js';
import { authRpc } from './auth-rpcs.js';
import type { RpcCall } from './call-context.js';
import { toChallengeMessage } from './challenge-mapper.js';
import { flowFields, flowSteps } from './flow-steps.js';
import { given, optionalUuid, together } from './parse.js';

export interface VerificationRpcDeps
  extends SendVerificationCodeDeps,
    ConfirmIdentifierDeps,
    OpenFlowDeps {
  readonly phonePolicy: PhonePolicy;
  readonly defaultRegion: string | undefined;
}

export function verificationRpcs(deps: VerificationRpcDeps) {
  const { phonePolicy, defaultRegion } = deps;
  return {
    sendEmailVerificationCode: authRpc('sendEmailVerificationCode', {
      parse: (request) =>
        together({
          channel: () => 'email' as const,
          field: () => 'email',
          destination: () => {
            const email = given(request.email);
            return email === undefined ? undefined : parseEmail('email', email);
          },
          requestId: () => optionalUuid('request_id', request.requestId),
        }),
      sends: chargesOfSend,
      run: (input, call) => send(deps, call, input),
      toResponse: (challenge) => ({ challenge: toChallengeMessage(challenge) }),
    }),
    sendPhoneVerificationCode: authRpc('sendPhoneVerificationCode', {
      parse: (request) =>
        together({
          channel: () => 'sms' as const,
          field: () => 'phone_number',
          destination: () => {
            const phone = given(request.phoneNumber);
            const region = given(request.region) ?? defaultRegion;
            return phone === undefined
              ? undefined
              : parsePhone('phone_number', phone, region, phonePolicy);
          },
          requestId: () => optionalUuid('request_id', request.requestId),
        }),
      sends: chargesOfSend,
      run: (input, call) => send(deps, call, input),
      toResponse: (challenge) => ({ challenge: toChallengeMessage(challenge) }),
    }),
    confirmEmail: authRpc('confirmEmail', {
      parse: (request, call) => parseConfirm(deps, 'email', request, call.person),
      run: (input, call) => confirm(deps, call, input),
      toResponse: ({ identifier }) => ({ identifier: toIdentifierMessage(identifier) }),
    }),
    confirmPhoneNumber: authRpc('confirmPhoneNumber', {
      parse: (request, call) => parseConfirm(deps, 'sms', request, call.person),
      run: (input, call) => confirm(deps, call, input),
      toResponse: ({ identifier }) => ({ identifier: toIdentifierMessage(identifier) }),
    }),
    resendEmailConfirmation: authRpc('resendEmailConfirmation', {
      parse: (request, call) =>
        together({
          email: () => parseEmail('email', request.email),
          ...flowFields(request, call),
        }),
      ...flowSteps(deps, toConfirmationFlow),
      toResponse: (challenge) => ({ challenge: toChallengeMessage(challenge) }),
    }),
  };
}

/** What becomes of it: `resolveConfirmation`. */
function toConfirmationFlow(input: {
  readonly email: string;
  readonly challengeId: string | undefined;
  readonly locale: Locale;
}): FlowRequest {
  const { email, challengeId, locale } = input;
  return {
    kind: 'confirmation_request',
    purpose: 'verify',
    typed: { type: 'email', value: email },
    channel: 'email',
    challengeId,
    locale,
  };
}

/** Where no address is named, the use-case finds it and charges it then. */
function chargesOfSend({ channel, destination }: SendVerificationCodeInput, call: RpcCall) {
  return destination === undefined ? [] : sendCharges(channel, destination, call);
}

async function send(
  deps: VerificationRpcDeps,
  call: RpcCall & PersonCall,
  input: SendVerificationCodeInput,
): Promise<Challenge> {
  const { challenge, repeated } = await sendVerificationCode(deps, call, input);
  if (repeated) call.sentNothing();
  return challenge;
}

type ConfirmInput = ReturnType<typeof parseConfirm>;

function parseConfirm(
  deps: VerificationRpcDeps,
  channel: Channel,
  request: { challengeId?: string | undefined; code: string },
  person: Person | undefined,
) {
  return together({
    channel: () => channel,
    challengeId: () => {
      const id = optionalUuid('challenge_id', request.challengeId);
      if (id !== undefined || person !== undefined) return id;
      throw fieldInvalid('challenge_id', 'must be given where nobody is signed in');
    },
    code: () => parseCode('code', request.code, deps.codePolicy),
  });
}

async function confirm(
  deps: VerificationRpcDeps,
  call: RpcCall & { readonly person: Person | undefined },
  input: ConfirmInput,
): Promise<ConfirmedIdentifier> {
  const confirmed = await confirmIdentifier(deps, call, input);
  call.attribute(confirmed.accountId);
  rememberSource(deps.throttle, confirmed.identifier.value, call);
  return confirmed;
}
