import { sql } from 'kysely';
import type { Clock } from '../core/clock.js';
import { type Db, sqlNow, type Tx } from '../db/index.js';
import { MAX_LIVE_KEYS, type RpcGroup } from './caller.js';
import type { CallerKeyRow, CallerRow, LiveKeyRow } from './callers.tables.js';

/** Every key that works now. A handful of services have one or two each, so all are read at once. */
export async function selectLiveKeys(db: Db): Promise<readonly LiveKeyRow[]> {
  const { rows } = await sql<LiveKeyRow>`
    select k.key_hash, k.caller, c.rpc_groups
      from caller_keys k join callers c using (caller)
     where k.revoked_at is null and c.disabled_at is null`.execute(db);
  return rows;
}

export async function selectCallers(db: Db): Promise<readonly CallerRow[]> {
  const { rows } = await sql<CallerRow>`
    select caller, rpc_groups, created_at, disabled_at from callers order by caller`.execute(db);
  return rows;
}

export async function selectKeys(db: Db): Promise<readonly CallerKeyRow[]> {
  const { rows } = await sql<CallerKeyRow>`
    select key_hash, caller, created_at from caller_keys
     where revoked_at is null order by created_at, key_hash`.execute(db);
  return rows;
}

/** False where the name is in use. */
export async function insertCaller(
  tx: Tx,
  clock: Clock,
  name: string,
  groups: readonly RpcGroup[],
): Promise<boolean> {
  const { rows } = await sql<{ caller: string }>`
    insert into callers (caller, rpc_groups, created_at)
    values (${name}, ${groups}::text[], ${sqlNow(clock)})
    on conflict (caller) do nothing
    returning caller`.execute(tx);
  return rows.length === 1;
}

/** Takes the row that serialises everything about one caller's keys. False: there is none. */
export async function lockCaller(tx: Tx, name: string): Promise<boolean> {
  const { rows } = await sql<{ caller: string }>`
    select caller from callers where caller = ${name} for update`.execute(tx);
  return rows.length === 1;
}

/** False where the caller has as many live keys as it may; the caller's row must be locked. */
export async function insertKey(
  tx: Tx,
  clock: Clock,
  name: string,
  hash: Buffer,
): Promise<boolean> {
  const { rows } = await sql<{ caller: string }>`
    insert into caller_keys (key_hash, caller, created_at)
    select ${hash}::bytea, ${name}::text, ${sqlNow(clock)}
     where (select count(*) from caller_keys where caller = ${name} and revoked_at is null)
           < ${MAX_LIVE_KEYS}::int
    returning caller`.execute(tx);
  return rows.length === 1;
}

/** Revokes a caller's live key by its id; the number of keys revoked: none, or one. */
export async function revokeKey(
  tx: Tx,
  clock: Clock,
  name: string,
  keyId: string,
): Promise<number> {
  const { rows } = await sql<{ caller: string }>`
    update caller_keys set revoked_at = ${sqlNow(clock)}
     where caller = ${name} and revoked_at is null
       and left(encode(key_hash, 'hex'), ${keyId.length}::int) = ${keyId}
    returning caller`.execute(tx);
  return rows.length;
}
