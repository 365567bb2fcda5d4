/** RefreshSession: Redis 0, PostgreSQL 1: one update … returning, one signature. */
import { randomBytes } from 'node:crypto';
import { type handleUnaryCall, status } from '@grpc/grpc-js';
import type {
  RefreshSessionRequest,
  RefreshSessionResponse,
} from '../../generated/countersign/v1/auth_service.js';
import {
  answer,
  type FloorModule,
  REFRESH_SECONDS,
  sha256,
  signAccessToken,
  TOKEN_SECONDS,
} from './floor.js';

export const schema: FloorModule['schema'] = [
  `create table sessions (session_id uuid primary key, account_id uuid not null, generation int not null default 0,
    token_hash bytea not null, rotated_at timestamptz, expires_at timestamptz not null)`,
];

const UPDATE = {
  name: 'rotate',
  text: `update sessions set generation = generation + 1, token_hash = $3, rotated_at = now(),
      expires_at = now() + interval '30 days'
    where session_id = $1 and token_hash = $2 and expires_at > now()
    returning account_id`,
};

export const handlers: FloorModule['handlers'] = ({ pool }) => {
  const refresh = async (presented: string): Promise<RefreshSessionResponse | undefined> => {
    const sessionId = presented.slice(0, 36);
    const refreshToken = `${sessionId}.${randomBytes(64).toString('base64url')}`;
    const { rows } = await pool.query<{ account_id: string }>({
      ...UPDATE,
      values: [sessionId, sha256(presented), sha256(refreshToken)],
    });
    const accountId = rows[0]?.account_id;
    if (accountId === undefined) return undefined;
    const accessToken = signAccessToken(accountId, sessionId);
    const expiry = { expiresIn: TOKEN_SECONDS, refreshExpiresIn: REFRESH_SECONDS };
    return { tokens: { tokenType: 'Bearer', accessToken, refreshToken, ...expiry } };
  };
  const handler: handleUnaryCall<RefreshSessionRequest, RefreshSessionResponse> = (
    call,
    respond,
  ) => {
    answer(refresh(call.request.refreshToken), respond, status.UNAUTHENTICATED);
  };
  return { refreshSession: handler };
};
