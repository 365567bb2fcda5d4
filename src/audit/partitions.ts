import { sql } from 'kysely';
import type { Clock } from '../core/clock.js';
import type { Logger } from '../core/logger.js';
import { type Db, inTransaction, sqlNow, type Tx } from '../db/index.js';

interface Month {
  /** `audit_events_2026_11`. */
  readonly name: string;
  readonly start: string;
  readonly end: string;
  readonly missing: boolean;
}

/** Any number that no other advisory lock of the house has. */
const LOCK_KEY = '7305823410921';

/**
 * Makes the partitions of this month and the next (UTC) where they are missing. Any number of
 * processes may do it at once. A month of which the default partition already holds rows stays there
 * whole: its own partition could only be made by moving rows that are append-only.
 */
export async function ensureAuditPartitions(db: Db, clock: Clock, log: Logger): Promise<void> {
  for (const month of await readMonths(db, clock)) {
    if (month.missing) await createPartition(db, month, log);
  }
}

async function readMonths(db: Db, clock: Clock): Promise<readonly Month[]> {
  const { rows } = await sql<Month>`
    with first as (
      select date_trunc('month', ${sqlNow(clock)} at time zone 'UTC') as month)
    select 'audit_events_' || to_char(m, 'YYYY_MM') as name,
      to_char(m, 'YYYY-MM-DD') || ' 00:00:00+00' as start,
      to_char(m + interval '1 month', 'YYYY-MM-DD') || ' 00:00:00+00' as end,
      to_regclass('audit_events_' || to_char(m, 'YYYY_MM')) is null as missing
    from first, generate_series(month, month + interval '1 month', interval '1 month') as m`.execute(
    db,
  );
  return rows;
}

async function createPartition(db: Db, month: Month, log: Logger): Promise<void> {
  const { name } = month;
  try {
    const created = await inTransaction(db, (tx) => createInside(tx, month));
    if (!created)
      log.debug({ partition: name }, 'audit events of this month stay in the default partition');
  } catch (error) {
    const code: unknown = error instanceof Error ? Reflect.get(error, 'code') : undefined;
    if (code !== LOCK_NOT_AVAILABLE && code !== CHECK_VIOLATION) throw error;
    log.warn({ partition: name, error: code }, 'audit partition not made this time');
  }
}

/** A long reader holds the table, or a row of the month came in between looking and creating. */
const LOCK_NOT_AVAILABLE = '55P03';
const CHECK_VIOLATION = '23514';

async function createInside(tx: Tx, { name, start, end }: Month): Promise<boolean> {
  // `if not exists` looks before it locks, and two processes may both see nothing.
  await sql`select pg_advisory_xact_lock(${LOCK_KEY}::bigint)`.execute(tx);
  // Creating locks the whole table: not behind a long reader, with all calls waiting behind us.
  await sql`set local lock_timeout = '2s'`.execute(tx);
  const { rows } = await sql<{ occupied: boolean }>`select exists (
    select from audit_events_default
    where occurred_at >= ${start}::timestamptz and occurred_at < ${end}::timestamptz) as occupied`.execute(
    tx,
  );
  if (rows[0]?.occupied !== false) return false;
  await sql`create table if not exists ${sql.table(name)} partition of audit_events
    for values from (${sql.lit(start)}) to (${sql.lit(end)})`.execute(tx);
  return true;
}
