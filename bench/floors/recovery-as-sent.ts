/** RequestPasswordReset and VerifyPasswordResetCode (`code-flow.ts`): the code buys a token. */
import { randomBytes } from 'node:crypto';
import { type handleUnaryCall, status } from '@grpc/grpc-js';
import type {
  RequestPasswordResetRequest,
  RequestPasswordResetResponse,
  VerifyPasswordResetCodeRequest,
  VerifyPasswordResetCodeResponse,
} from '../../generated/countersign/v1/auth_service.js';
import { codeFlow } from './code-flow.js';
import { answer, type FloorModule } from './floor.js';

export const schema: FloorModule['schema'] = [];

/** As many as the product's token has, after its prefix. */
const TOKEN_BYTES = 48;

export const handlers: FloorModule['handlers'] = (context) => {
  const flow = codeFlow(context, 'recovery');

  const request = async (identifier: string): Promise<RequestPasswordResetResponse | undefined> => {
    const challenge = await flow.request(identifier);
    return challenge === undefined ? undefined : { challenge };
  };

  const verify = async ({
    challengeId,
    code,
  }: VerifyPasswordResetCodeRequest): Promise<VerifyPasswordResetCodeResponse | undefined> => {
    const right = await flow.guess(challengeId, code);
    if (right === undefined) return undefined;
    const { rowCount } = await context.pool.query(flow.redeem(right.known));
    if (rowCount !== 1) return undefined;
    return { resetToken: `cpr_${randomBytes(TOKEN_BYTES).toString('base64url')}` };
  };

  const requestHandler: handleUnaryCall<
    RequestPasswordResetRequest,
    RequestPasswordResetResponse
  > = (call, respond) => answer(request(call.request.identifier), respond, status.INVALID_ARGUMENT);
  const verifyHandler: handleUnaryCall<
    VerifyPasswordResetCodeRequest,
    VerifyPasswordResetCodeResponse
  > = (call, respond) => answer(verify(call.request), respond, status.INVALID_ARGUMENT);
  return { requestPasswordReset: requestHandler, verifyPasswordResetCode: verifyHandler };
};
