import { sql } from 'kysely';
import type { Clock } from '../core/clock.js';
import { type Db, sqlNow, type Tx } from '../db/index.js';
import { MAX_LIVE_KEYS, type RpcGroup } from './caller.js';
import type {
  CallerCertificateRow,
  CallerKeyRow,
  CallerRow,
  CredentialRow,
} from './callers.tables.js';
import { MAX_CERTIFICATE_NAMES } from './certificate-name.js';

/**
 * Every key that works now, and every certificate name, of disabled callers too: one of those must not
 * pass for nobody's. A handful of services have a few each, so all are read at once.
 */
export async function selectCredentials(db: Db): Promise<readonly CredentialRow[]> {
  const { rows } = await sql<CredentialRow>`
    select c.caller, c.rpc_groups, false as disabled, k.key_hash, null::text as certificate_name
      from caller_keys k join callers c using (caller)
     where k.revoked_at is null and c.disabled_at is null
    union all
    select c.caller, c.rpc_groups, c.disabled_at is not null, null::bytea, n.certificate_name
      from caller_certificates n join callers c using (caller)`.execute(db);
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

export async function selectCertificates(db: Db): Promise<readonly CallerCertificateRow[]> {
  const { rows } = await sql<CallerCertificateRow>`
    select certificate_name, caller from caller_certificates order by certificate_name`.execute(db);
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

/** Takes the row that serialises everything about one caller's keys and names. False: there is none. */
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

/**
 * Who has the name afterwards: this caller, or another that had it before. Undefined where the caller
 * has as many as it may. The caller's row must be locked.
 */
export async function insertCertificate(
  tx: Tx,
  clock: Clock,
  name: string,
  certificateName: string,
): Promise<string | undefined> {
  const { rows } = await sql<{ caller: string }>`
    insert into caller_certificates (certificate_name, caller, created_at)
    select ${certificateName}::text, ${name}::text, ${sqlNow(clock)}
     where (select count(*) from caller_certificates where caller = ${name})
           < ${MAX_CERTIFICATE_NAMES}::int
    on conflict (certificate_name) do nothing
    returning caller`.execute(tx);
  if (rows[0] !== undefined) return name;
  // A statement of its own, so that it sees what a rival that was waited for has committed.
  const { rows: owners } = await sql<{ caller: string }>`
    select caller from caller_certificates where certificate_name = ${certificateName}`.execute(tx);
  return owners[0]?.caller;
}

/** False where the caller does not have the name. */
export async function deleteCertificate(
  tx: Tx,
  name: string,
  certificateName: string,
): Promise<boolean> {
  const { rows } = await sql<{ caller: string }>`
    delete from caller_certificates
     where caller = ${name} and certificate_name = ${certificateName}
    returning caller`.execute(tx);
  return rows.length === 1;
}
