import { Channel } from '../../generated/countersign/v1/challenge.js';
import { type OpenFlowDeps, parseCode } from '../challenges/index.js';
import type { PhonePolicy } from '../core/contact.js';
import { parseNewPassword } from '../passwords/index.js';
import {
  type RecoveryPolicy,
  type ResetPasswordDeps,
  type ResetRequest,
  resetFlow,
  resetPassword,
  typedForReset,
  type VerifyResetCodeDeps,
  verifyResetCode,
} from '../recovery/index.js';
import { rememberSource, type Throttle } from '../throttling/index.js';
import { authRpc } from './auth-rpcs.js';
import { toChallengeMessage } from './challenge-mapper.js';
import { flowFields, flowSteps } from './flow-steps.js';
import { given, together, uuid } from './parse.js';

export interface RecoveryRpcDeps extends OpenFlowDeps, VerifyResetCodeDeps, ResetPasswordDeps {
  readonly recovery: RecoveryPolicy;
  readonly phonePolicy: PhonePolicy;
  readonly defaultRegion: string | undefined;
  readonly throttle: Pick<Throttle, 'remember'>;
}

/** What a registered delivery tells of the way that its message goes. */
const UNTOLD = { channel: Channel.UNSPECIFIED, maskedDestination: '' };

export function recoveryRpcs(deps: RecoveryRpcDeps) {
  const { delivery } = deps.recovery;
  const channelIsTold = delivery === 'typed';
  return {
    requestPasswordReset: authRpc('requestPasswordReset', {
      parse: (request, call): ResetRequest =>
        together({
          typed: () =>
            typedForReset('identifier', request.identifier, {
              delivery,
              region: given(request.region) ?? deps.defaultRegion,
              phone: deps.phonePolicy,
            }),
          ...flowFields(request, call),
        }),
      ...flowSteps(deps, (request: ResetRequest) => resetFlow(deps.recovery, request), {
        channelIsTold,
      }),
      toResponse: (flow) => ({
        challenge: { ...toChallengeMessage(flow), ...(channelIsTold ? {} : UNTOLD) },
      }),
    }),
    verifyPasswordResetCode: authRpc('verifyPasswordResetCode', {
      parse: (request) =>
        together({
          challengeId: () => uuid('challenge_id', request.challengeId),
          code: () => parseCode('code', request.code, deps.codePolicy),
        }),
      run: async (input, call) => {
        const done = await verifyResetCode(deps, call, input);
        call.attribute(done.accountId);
        rememberSource(deps.throttle, done.address, call);
        return done;
      },
      toResponse: ({ resetToken }) => ({ resetToken }),
    }),
    resetPassword: authRpc('resetPassword', {
      parse: (request) => ({
        // Never refused by its shape: whatever it is, it has expired.
        resetToken: request.resetToken,
        newPassword: parseNewPassword('new_password', request.newPassword, deps.passwordPolicy, []),
      }),
      refuses: (leftMs) => deps.hasher.refuses(leftMs),
      admit: (call) => deps.hasher.admit(call),
      run: async (input, call) => {
        const { accountId } = await resetPassword(deps, call, input);
        call.attribute(accountId);
      },
      toResponse: () => ({}),
    }),
  };
}
