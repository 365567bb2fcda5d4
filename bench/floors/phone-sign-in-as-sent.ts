/** RequestPhoneSignIn and CompletePhoneSignIn (`code-flow.ts`): the code begins a session; one signature. */
import { randomBytes } from 'node:crypto';
import { type handleUnaryCall, status } from '@grpc/grpc-js';
import type {
  CompletePhoneSignInRequest,
  CompletePhoneSignInResponse,
  RequestPhoneSignInRequest,
  RequestPhoneSignInResponse,
} from '../../generated/countersign/v1/auth_service.js';
import { codeFlow } from './code-flow.js';
import {
  answer,
  type FloorModule,
  REFRESH_SECONDS,
  sha256,
  signAccessToken,
  TOKEN_SECONDS,
} from './floor.js';
import { uuid7 } from './templates.js';

export const schema: FloorModule['schema'] = [];

interface OpenedRow {
  /** Null: the number does not sign in any more, or its code was used. */
  readonly auth_time: Date | null;
}

/** As many as the product's refresh token has, after its prefix; no MAC guards this one. */
const TOKEN_BYTES = 85;

export const handlers: FloorModule['handlers'] = (context) => {
  const flow = codeFlow(context, 'phoneSignIn');

  const request = async (phoneNumber: string): Promise<RequestPhoneSignInResponse | undefined> => {
    const challenge = await flow.request(phoneNumber);
    return challenge === undefined ? undefined : { challenge };
  };

  const complete = async ({
    challengeId,
    code,
  }: CompletePhoneSignInRequest): Promise<CompletePhoneSignInResponse | undefined> => {
    const right = await flow.guess(challengeId, code);
    if (right === undefined) return undefined;
    const { accountId } = right;
    const sessionId = uuid7();
    const token = randomBytes(TOKEN_BYTES);
    const known = { ...right.known, sessionId, tokenHash: sha256(token) };
    const { rows } = await context.pool.query<OpenedRow>(flow.redeem(known));
    if (!rows[0]?.auth_time) return undefined;
    const accessToken = signAccessToken(accountId, sessionId);
    const refreshToken = `crt_${token.toString('base64url')}`;
    const expiry = { expiresIn: TOKEN_SECONDS, refreshExpiresIn: REFRESH_SECONDS };
    const tokens = { tokenType: 'Bearer', accessToken, refreshToken, ...expiry };
    return { tokens, accountId, isFirstSignIn: false };
  };

  const requestHandler: handleUnaryCall<RequestPhoneSignInRequest, RequestPhoneSignInResponse> = (
    call,
    respond,
  ) => answer(request(call.request.phoneNumber), respond, status.INVALID_ARGUMENT);
  const completeHandler: handleUnaryCall<
    CompletePhoneSignInRequest,
    CompletePhoneSignInResponse
  > = (call, respond) => answer(complete(call.request), respond, status.UNAUTHENTICATED);
  return { requestPhoneSignIn: requestHandler, completePhoneSignIn: completeHandler };
};
