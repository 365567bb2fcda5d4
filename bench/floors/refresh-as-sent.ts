/**
 * RefreshSession: Redis 0, PostgreSQL 1: the statement that the product sends, on its schema; one
 * signature. Tokens are as long as the product's and have its places, but no MAC guards them.
 */
import { randomFillSync } from 'node:crypto';
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
import { readTemplates, statementOf } from './templates.js';

export const schema: FloorModule['schema'] = [];

interface RefreshRow {
  readonly outcome: string;
  readonly account_id: string;
}

const PREFIX = 'crt_';
const GENERATION_AT = 17;
const SECRET_AT = 21;

export const handlers: FloorModule['handlers'] = ({ pool, templates }) => {
  const rotate = statementOf(readTemplates(templates).refresh[0]);
  const refresh = async (presented: string): Promise<RefreshSessionResponse | undefined> => {
    const bytes = Buffer.from(presented.slice(PREFIX.length), 'base64url');
    const sessionId = uuidText(bytes.toString('hex', 1, GENERATION_AT));
    const generation = bytes.readUInt32BE(GENERATION_AT);
    const successor = Buffer.from(bytes);
    successor.writeUInt32BE(generation + 1, GENERATION_AT);
    randomFillSync(successor, SECRET_AT);
    const known = {
      sessionId,
      generation,
      tokenHash: sha256(bytes),
      successorHash: sha256(successor),
    };
    const { rows } = await pool.query<RefreshRow>(rotate(known));
    const [row] = rows;
    if (row?.outcome !== 'rotate') return undefined;
    const accessToken = signAccessToken(row.account_id, sessionId);
    const refreshToken = PREFIX + successor.toString('base64url');
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

function uuidText(hex: string): string {
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
