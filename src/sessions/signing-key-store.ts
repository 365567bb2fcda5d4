import { sql } from 'kysely';
import type { Clock } from '../core/clock.js';
import { type Db, inTransaction, sqlNow } from '../db/index.js';
import { type SealedSigningKey, SIGNING_ALGORITHM } from './signing-key.js';

export interface SigningKeyRow {
  readonly kid: string;
  readonly private_sealed: Buffer;
  /** May sign already; a key is published before it does. */
  readonly active: boolean;
}

/** Rotation retires long before this many are in use. */
const MAX_KEYS = 100;

/** All that are not retired, the newest first. */
export async function selectSigningKeys(db: Db, clock: Clock): Promise<readonly SigningKeyRow[]> {
  const { rows } = await sql<SigningKeyRow>`
    select kid, private_sealed, active_from <= ${sqlNow(clock)} as active
    from signing_keys
    where retired_at is null
    order by active_from desc, kid
    limit ${MAX_KEYS}`.execute(db);
  return rows;
}

/** Any constant will do, if nobody else in the same database takes it. */
const LOCK_KEY = 7_305_823_410_920;

/**
 * Stores the key, active at once, unless an active one exists: of many processes that start
 * together, one inserts. The lock is a statement of its own, so that the insert's snapshot begins
 * after it.
 */
export async function insertFirstSigningKey(
  db: Db,
  clock: Clock,
  key: SealedSigningKey,
): Promise<void> {
  const now = sqlNow(clock);
  await inTransaction(db, async (tx) => {
    await sql`select pg_advisory_xact_lock(${LOCK_KEY}::bigint)`.execute(tx);
    await sql`
      insert into signing_keys (kid, algorithm, public_jwk, private_sealed, created_at, active_from)
      select ${key.kid}, ${SIGNING_ALGORITHM}, ${JSON.stringify(key.publicJwk)}::jsonb,
        ${key.privateSealed}::bytea, moment.now, moment.now
      from (select ${now} as now) moment
      where not exists (
        select from signing_keys where retired_at is null and active_from <= moment.now
      )`.execute(tx);
  });
}
