import { type RawBuilder, sql } from 'kysely';
import type { Clock } from '../core/clock.js';
import { clockCte, type Db, inTransaction, sqlNow, statementNow, type Tx } from '../db/index.js';
import { type SealedSigningKey, SIGNING_ALGORITHM } from './signing-key.js';

export interface SigningKeyRow {
  readonly kid: string;
  readonly private_sealed: Buffer;
  /** Until it may sign; zero or less: it may already. A key is published before it does. */
  readonly active_in_ms: number;
}

/** Rotation retires long before this many are in use. */
const MAX_KEYS = 100;

/** All that are not retired, the newest first. */
export async function selectSigningKeys(db: Db, clock: Clock): Promise<readonly SigningKeyRow[]> {
  const { rows } = await sql<SigningKeyRow>`
    select kid, private_sealed,
      ceil(extract(epoch from active_from - ${sqlNow(clock)}) * 1000)::int8 as active_in_ms
    from signing_keys
    where retired_at is null
    order by active_from desc, kid
    limit ${MAX_KEYS}`.execute(db);
  return rows;
}

export interface ListedSigningKeyRow {
  readonly kid: string;
  readonly created_at: Date;
  readonly active_from: Date;
  readonly retired_at: Date | null;
  readonly active: boolean;
}

/** Retired ones too, as long as they are kept; the newest first. */
export async function listSigningKeyRows(
  db: Db,
  clock: Clock,
): Promise<readonly ListedSigningKeyRow[]> {
  const { rows } = await sql<ListedSigningKeyRow>`
    select kid, created_at, active_from, retired_at, active_from <= ${sqlNow(clock)} as active
    from signing_keys
    order by active_from desc, kid
    limit ${MAX_KEYS}`.execute(db);
  return rows;
}

/** Any constant will do, if nobody else in the same database takes it. */
const LOCK_KEY = 7_305_823_410_920;

/**
 * Of many processes one changes the keys at a time. The lock is a statement of its own, so that the
 * snapshot of the one that decides begins after it.
 */
function alone<T>(db: Db, change: (tx: Tx) => Promise<T>): Promise<T> {
  return inTransaction(db, async (tx) => {
    await sql`select pg_advisory_xact_lock(${LOCK_KEY}::bigint)`.execute(tx);
    return change(tx);
  });
}

function insertKey(
  key: SealedSigningKey,
  leadSeconds: number,
  condition: RawBuilder<unknown>,
): RawBuilder<unknown> {
  return sql`
    insert into signing_keys (kid, algorithm, public_jwk, private_sealed, created_at, active_from)
    select ${key.kid}, ${SIGNING_ALGORITHM}, ${JSON.stringify(key.publicJwk)}::jsonb,
      ${key.privateSealed}::bytea, ${statementNow},
      ${statementNow} + make_interval(secs => ${leadSeconds})
    where ${condition}`;
}

/** Stores the key, active at once, unless an active one exists: of many first starts one inserts. */
export async function insertFirstSigningKey(
  db: Db,
  clock: Clock,
  key: SealedSigningKey,
): Promise<void> {
  const none = sql`not exists (
    select from signing_keys where retired_at is null and active_from <= ${statementNow})`;
  await alone(db, (tx) => sql`with ${clockCte(clock)} ${insertKey(key, 0, none)}`.execute(tx));
}

/**
 * No key is younger than that, a published one that does not sign yet included: so of many processes
 * one publishes a successor. False too where there is no key at all.
 */
function newestIsOlder(now: RawBuilder<Date>, seconds: number): RawBuilder<boolean> {
  return sql<boolean>`coalesce((select max(active_from) from signing_keys where retired_at is null)
    <= ${now} - make_interval(secs => ${seconds}), false)`;
}

/** `k` stopped signing so long ago that nothing it signed is valid any more. */
function hasDied(now: RawBuilder<Date>, seconds: number): RawBuilder<boolean> {
  return sql<boolean>`(k.retired_at is null and exists (
    select from signing_keys s where s.retired_at is null and s.active_from > k.active_from
      and s.active_from <= ${now} - make_interval(secs => ${seconds})))`;
}

export interface DueRow {
  readonly successor_due: boolean;
  readonly retirement_due: boolean;
}

/** What the guarded statements below would do now, without their lock. */
export async function selectDue(
  db: Db,
  clock: Clock,
  ages: { readonly successorSeconds: number; readonly retirementSeconds: number },
): Promise<DueRow> {
  const { rows } = await sql<DueRow>`
    with ${clockCte(clock)}
    select ${newestIsOlder(statementNow, ages.successorSeconds)} as successor_due,
      exists (select from signing_keys k where ${hasDied(statementNow, ages.retirementSeconds)})
        as retirement_due`.execute(db);
  return rows[0] ?? { successor_due: false, retirement_due: false };
}

/** Stores the key, to sign after `leadSeconds`, if the newest one signs for `olderThanSeconds`. */
export async function insertSuccessor(
  db: Db,
  clock: Clock,
  key: SealedSigningKey,
  when: { readonly leadSeconds: number; readonly olderThanSeconds: number },
): Promise<boolean> {
  const due = newestIsOlder(statementNow, when.olderThanSeconds);
  const { numAffectedRows } = await alone(db, (tx) =>
    sql`with ${clockCte(clock)} ${insertKey(key, when.leadSeconds, due)}`.execute(tx),
  );
  return numAffectedRows === 1n;
}

/** What is left of a key that is retired: its private part is of no use but to a thief. */
const destroyed = sql`''::bytea`;

/** Retires what stopped signing `afterSeconds` ago or more. Answers their names. */
export async function retireDeadKeys(
  db: Db,
  clock: Clock,
  afterSeconds: number,
): Promise<readonly string[]> {
  const { rows } = await alone(db, (tx) =>
    sql<{ kid: string }>`
      with ${clockCte(clock)}
      update signing_keys k set retired_at = ${statementNow}, private_sealed = ${destroyed}
      where ${hasDied(statementNow, afterSeconds)}
      returning k.kid`.execute(tx),
  );
  return rows.map(({ kid }) => kid);
}

/** The key signs at once, and all others are retired: one statement. Answers the names of those. */
export async function replaceAllKeys(
  db: Db,
  clock: Clock,
  key: SealedSigningKey,
): Promise<readonly string[]> {
  const { rows } = await alone(db, (tx) =>
    sql<{ kid: string }>`
      with ${clockCte(clock)},
      made as (${insertKey(key, 0, sql`true`)}),
      retired as (
        update signing_keys set retired_at = ${statementNow}, private_sealed = ${destroyed}
        where retired_at is null
        returning kid
      )
      select kid from retired`.execute(tx),
  );
  return rows.map(({ kid }) => kid);
}

/** Puts another seal on a private part, unless somebody has done so, or retired it, meanwhile. */
export async function updateSeal(
  db: Db,
  { kid, before, after }: { readonly kid: string; readonly before: Buffer; readonly after: Buffer },
): Promise<void> {
  await sql`
    update signing_keys set private_sealed = ${after}::bytea
    where kid = ${kid} and private_sealed = ${before}::bytea`.execute(db);
}
