/** SignIn: Redis 1, PostgreSQL 2: one select, one hash, one insert, one signature. */
import { randomBytes, randomUUID } from 'node:crypto';
import { type handleUnaryCall, status } from '@grpc/grpc-js';
import { verify } from '@node-rs/argon2';
import type { SignInRequest, SignInResponse } from '../../generated/countersign/v1/auth_service.js';
import {
  answer,
  type FloorModule,
  REFRESH_SECONDS,
  sha256,
  signAccessToken,
  TOKEN_SECONDS,
} from './floor.js';

export const schema: FloorModule['schema'] = [
  `create table accounts (account_id uuid primary key, username text not null unique, password_hash text not null)`,
  `create table sessions (session_id uuid primary key, account_id uuid not null references accounts,
    token_hash bytea not null, created_at timestamptz not null, expires_at timestamptz not null)`,
];

const SELECT = {
  name: 'account',
  text: 'select account_id, password_hash from accounts where username = $1',
};
const INSERT = {
  name: 'session',
  text: `insert into sessions (session_id, account_id, token_hash, created_at, expires_at)
    values ($1, $2, $3, now(), now() + interval '30 days')`,
};

interface AccountRow {
  readonly account_id: string;
  readonly password_hash: string;
}

export const handlers: FloorModule['handlers'] = ({ pool, redis, redisPrefix }) => {
  const signIn = async ({
    identifier,
    password,
  }: SignInRequest): Promise<SignInResponse | undefined> => {
    await redis.incr(`${redisPrefix}${identifier}`);
    const { rows } = await pool.query<AccountRow>({ ...SELECT, values: [identifier] });
    const [account] = rows;
    if (account === undefined || !(await verify(account.password_hash, password))) return undefined;
    const accountId = account.account_id;
    const sessionId = randomUUID();
    const refreshToken = `${sessionId}.${randomBytes(64).toString('base64url')}`;
    await pool.query({ ...INSERT, values: [sessionId, accountId, sha256(refreshToken)] });
    const accessToken = signAccessToken(accountId, sessionId);
    const expiry = { expiresIn: TOKEN_SECONDS, refreshExpiresIn: REFRESH_SECONDS };
    return { accountId, tokens: { tokenType: 'Bearer', accessToken, refreshToken, ...expiry } };
  };
  const handler: handleUnaryCall<SignInRequest, SignInResponse> = (call, respond) => {
    answer(signIn(call.request), respond, status.UNAUTHENTICATED);
  };
  return { signIn: handler };
};
