import { type FlowRequest, type OpenFlowDeps, parseCode } from '../challenges/index.js';
import { type Locale, type PhonePolicy, parsePhone } from '../core/contact.js';
import { parseScope } from '../organizations/index.js';
import { type CompletePhoneSignInDeps, completePhoneSignIn } from '../sign-in/index.js';
import { rememberSource, type Throttle } from '../throttling/index.js';
import { authRpc } from './auth-rpcs.js';
import { toChallengeMessage } from './challenge-mapper.js';
import { flowFields, flowSteps } from './flow-steps.js';
import { given, together, uuid } from './parse.js';
import { toTokenSetMessage } from './token-mapper.js';

export interface PhoneSignInRpcDeps extends OpenFlowDeps, CompletePhoneSignInDeps {
  readonly phonePolicy: PhonePolicy;
  readonly defaultRegion: string | undefined;
  readonly throttle: Pick<Throttle, 'remember'>;
}

interface PhoneRequest {
  /** E.164. */
  readonly phone: string;
  readonly challengeId: string | undefined;
  readonly locale: Locale;
}

export function phoneSignInRpcs(deps: PhoneSignInRpcDeps) {
  return {
    requestPhoneSignIn: authRpc('requestPhoneSignIn', {
      parse: (request, call): PhoneRequest => {
        const region = given(request.region) ?? deps.defaultRegion;
        return together({
          phone: () => parsePhone('phone_number', request.phoneNumber, region, deps.phonePolicy),
          ...flowFields(request, call),
        });
      },
      ...flowSteps(deps, signInFlow),
      toResponse: (flow) => ({ challenge: toChallengeMessage(flow) }),
    }),
    completePhoneSignIn: authRpc('completePhoneSignIn', {
      parse: (request) =>
        together({
          challengeId: () => uuid('challenge_id', request.challengeId),
          code: () => parseCode('code', request.code, deps.codePolicy),
          scope: () => parseScope('scope', request.scope),
        }),
      run: async (input, call) => {
        const done = await completePhoneSignIn(deps, call, input);
        call.attribute(done.accountId);
        rememberSource(deps.throttle, done.phone, call);
        return done;
      },
      toResponse: ({ accountId, tokens, isFirstSignIn }) => ({
        accountId,
        tokens: toTokenSetMessage(tokens),
        isFirstSignIn,
      }),
    }),
  };
}

function signInFlow({ phone, challengeId, locale }: PhoneRequest): FlowRequest {
  return {
    kind: 'sign_in_request',
    purpose: 'sign_in',
    typed: { type: 'phone', value: phone },
    channel: 'sms',
    challengeId,
    locale,
  };
}
