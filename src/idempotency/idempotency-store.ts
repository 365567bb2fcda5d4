import { type RawBuilder, sql } from 'kysely';
import type { Clock } from '../core/clock.js';
import { equalBytes, type KeyRing, mac } from '../core/keys.js';
import { type Db, sqlNow } from '../db/index.js';
import { requestIdReused } from './errors.js';

/**
 * `request_id` (AIP-155): a repeated call finds what its first one made, for 24 hours. The key is the
 * calling service, the RPC and the id; what is kept is a keyed hash of the request without its secrets,
 * and resulting ids. The row is written by the statement that does the work, so there is no moment at
 * which one stands without the other.
 */
export interface IdempotentRequest {
  readonly rpc: string;
  readonly caller: string;
  /** A UUID; absent: the call is not repeatable. */
  readonly requestId: string | undefined;
  /** What must be the same in the repetition. */
  readonly body: readonly string[];
}

export interface IdempotencyDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly requestKeys: KeyRing;
}

const LIFETIME = sql.raw("interval '24 hours'");

/** Condition: the statement's snapshot shows no earlier call with this id. */
export function isNotRepeated(
  now: RawBuilder<Date>,
  request: IdempotentRequest,
): RawBuilder<boolean> {
  if (request.requestId === undefined) return sql<boolean>`true`;
  return sql<boolean>`not exists (select from idempotency_keys k where ${isKey(request)} and k.expires_at > ${now})`;
}

/**
 * CTE body: remembers the request, if `from` has a row and it carries an id. Of calls at once with one id
 * the first to come here gets a row back, and so does every call without an id.
 */
export function insertIdempotent(
  deps: Pick<IdempotencyDeps, 'requestKeys'>,
  now: RawBuilder<Date>,
  request: IdempotentRequest,
  parts: { result: RawBuilder<unknown>; from: RawBuilder<unknown> },
): RawBuilder<unknown> {
  if (request.requestId === undefined) return sql`select 1 as one from ${parts.from}`;
  return sql`
    insert into idempotency_keys as k (caller, rpc, request_id, request_mac, result, created_at, expires_at)
    select ${request.caller}::text, ${request.rpc}::text, ${request.requestId}::uuid,
      ${bodyMac(deps.requestKeys.current.key, request)}::bytea, ${parts.result}, ${now}, ${now} + ${LIFETIME}
    from ${parts.from}
    on conflict (caller, rpc, request_id) do update set request_mac = excluded.request_mac,
      result = excluded.result, created_at = excluded.created_at, expires_at = excluded.expires_at
    where k.expires_at <= excluded.created_at
    returning 1 as one`;
}

/**
 * What the first call with this id made; undefined: there was none. One trip, none without an id.
 * Throws `REQUEST_ID_REUSED` where the id belongs to another request.
 */
export async function findIdempotent(
  deps: IdempotencyDeps,
  request: IdempotentRequest,
): Promise<Record<string, unknown> | undefined> {
  if (request.requestId === undefined) return undefined;
  const { rows } = await sql<{ request_mac: Buffer; result: Record<string, unknown> }>`
    select k.request_mac, k.result from idempotency_keys k
    where ${isKey(request)} and k.expires_at > ${sqlNow(deps.clock)}`.execute(deps.db);
  const found = rows[0];
  if (found === undefined) return undefined;
  const same = deps.requestKeys.all.some(({ key }) =>
    equalBytes(bodyMac(key, request), found.request_mac),
  );
  if (!same) throw requestIdReused();
  return found.result;
}

function isKey(request: IdempotentRequest): RawBuilder<boolean> {
  return sql<boolean>`(k.caller = ${request.caller}::text and k.rpc = ${request.rpc}::text
    and k.request_id = ${request.requestId ?? null}::uuid)`;
}

function bodyMac(key: Buffer, request: IdempotentRequest): Buffer {
  return mac(key, 'request', request.rpc, ...request.body);
}
