import { type RawBuilder, sql } from 'kysely';
import type { Channel, Locale } from '../core/contact.js';
import type { Db } from '../db/index.js';
import { LEASE_SECONDS } from './lease.js';
import type { Payload, PreparedMessage } from './payload.js';

export interface InsertParts {
  /** Whose message it is; null for an anonymous one. May name columns of `from`. */
  readonly accountId: RawBuilder<string | null>;
  /**
   * Language of the message: what the account has chosen is known to the statement alone. Dispatch the
   * message in the language that the statement returns.
   */
  readonly locale: RawBuilder<string>;
  /** What follows `from`, a `where` included: no row there, no message. At most one row. */
  readonly from: RawBuilder<unknown>;
}

/**
 * The statement that queues a prepared message, to stand in a `with` of the statement that issues its
 * code, so that neither is committed without the other. The row is leased to this process:
 * `due_at` is the end of the lease. Dispatch the message after the commit.
 */
export function insertMessage(
  now: RawBuilder<Date>,
  { id, message, sealed }: PreparedMessage<Payload>,
  { accountId, locale, from }: InsertParts,
): RawBuilder<unknown> {
  return sql`insert into outbox (
      message_id, account_id, kind, channel, locale, payload_sealed, state, attempts,
      due_at, expires_at, created_at)
    select ${id}::uuid, (${accountId})::uuid, ${message.kind}::text, ${message.channel}::text,
      ${locale}, ${sealed}::bytea, 'queued', 0,
      ${now} + make_interval(secs => ${LEASE_SECONDS}),
      ${now} + make_interval(secs => ${message.lifetimeSeconds}), ${now}
    from ${from}`;
}

/** A row that this process has taken because nobody else held it any more. */
export interface TakenMessage {
  readonly id: string;
  readonly sealed: Buffer;
  readonly channel: Channel;
  readonly locale: Locale;
  /** End of the lease, and with it the proof of holding it. */
  readonly lease: Date;
  readonly attempts: number;
  readonly lifetimeMs: number;
  readonly createdAt: Date;
}

/**
 * Takes overdue messages, the longest overdue first. `skip locked` lets any number of processes do
 * this at once. Expired ones are left to `expireMessages`: they are never sent.
 */
export async function takeOverdue(
  db: Db,
  now: RawBuilder<Date>,
  channels: readonly Channel[],
  limit: number,
): Promise<readonly TakenMessage[]> {
  // The lease is cut to milliseconds, so that it comes back unchanged through a JavaScript Date.
  const { rows } = await sql<TakenMessage>`
    with moment as materialized (select ${now} as at),
    overdue as materialized (
      select message_id from outbox
      where state = 'queued' and due_at <= (select at from moment)
        and expires_at > (select at from moment) and channel = any(${channels}::text[])
      order by due_at limit ${limit}
      for update skip locked)
    update outbox o
    set due_at = date_trunc('milliseconds', moment.at) + make_interval(secs => ${LEASE_SECONDS})
    from overdue, moment
    where o.message_id = overdue.message_id
    returning o.message_id as id, o.payload_sealed as sealed, o.channel, o.locale, o.due_at as lease,
      o.attempts, o.created_at as "createdAt",
      floor(extract(epoch from o.expires_at - moment.at) * 1000)::int as "lifetimeMs"`.execute(db);
  return rows;
}

/** Scrubs messages whose lifetime has ended unsent. A lease that still runs is waited for. */
export async function expireMessages(
  db: Db,
  now: RawBuilder<Date>,
  limit: number,
): Promise<number> {
  const { numAffectedRows } = await sql`
    with moment as materialized (select ${now} as at),
    dead as materialized (
      select message_id from outbox
      where state = 'queued' and due_at <= (select at from moment)
        and expires_at <= (select at from moment)
      order by due_at limit ${limit}
      for update skip locked)
    update outbox o set state = 'expired', payload_sealed = null, finished_at = moment.at
    from dead, moment where o.message_id = dead.message_id`.execute(db);
  return Number(numAffectedRows ?? 0n);
}

export interface FinishedSend {
  readonly id: string;
  /** `dropped`: a request, and nothing was due. */
  readonly state: 'sent' | 'dropped';
}

/** Marks messages as sent or dropped and scrubs them, all in one statement. */
export async function finishSends(
  db: Db,
  now: RawBuilder<Date>,
  finished: readonly FinishedSend[],
): Promise<void> {
  const ids = finished.map(({ id }) => id);
  const dropped = finished.filter(({ state }) => state === 'dropped').map(({ id }) => id);
  // Whoever holds the lease by now: it was sent, and must not be sent again.
  await sql`update outbox
    set state = case when message_id = any(${dropped}::uuid[]) then 'dropped' else 'sent' end,
      payload_sealed = null, finished_at = ${now}
    where message_id = any(${ids}::uuid[]) and state = 'queued'`.execute(db);
}

export interface FailedSend {
  readonly id: string;
  /** As taken; null for the lease of the insert, whose end the inserting process never reads. */
  readonly lease: Date | null;
  readonly attempts: number;
  readonly delayMs: number;
  /** Class or code of the error, never its text. */
  readonly error: string;
}

/**
 * Puts failed messages off, or ends them where their lifetime would be over by then. Only under the
 * lease that they were sent under: what another process has taken meanwhile is its own affair. The
 * lease of the insert is recognised by its end: any later one ends at least two leases after it.
 * Answers how many have ended.
 */
export async function finishFailed(
  db: Db,
  now: RawBuilder<Date>,
  failures: readonly FailedSend[],
): Promise<number> {
  const json = JSON.stringify(failures);
  const { rows } = await sql<{ readonly state: string }>`
    with failed as materialized (
      select f.*, m.at, m.at + f."delayMs" * interval '1 ms' as next
      from jsonb_to_recordset(${json}::jsonb)
        as f(id uuid, lease timestamptz, attempts int, "delayMs" int, error text),
        (select ${now} as at) m)
    update outbox o
    set attempts = o.attempts + 1,
      last_error = f.error,
      due_at = f.next,
      state = case when o.expires_at <= f.next then 'expired' else 'queued' end,
      payload_sealed = case when o.expires_at <= f.next then null else o.payload_sealed end,
      finished_at = case when o.expires_at <= f.next then f.at end
    from failed f
    where o.message_id = f.id and o.state = 'queued' and o.attempts = f.attempts
      and case when f.lease is null
        then o.due_at < o.created_at + make_interval(secs => ${LEASE_SECONDS * 1.5})
        else o.due_at = f.lease end
    returning o.state`.execute(db);
  return rows.filter(({ state }) => state === 'expired').length;
}

/**
 * Seconds since the oldest unsent message was queued; 0 where there is none. Reads no more than the
 * longest overdue ten thousand, by their index: a larger backlog has long raised its alarm.
 */
export async function oldestUnsent(db: Db, now: RawBuilder<Date>): Promise<number> {
  const { rows } = await sql<{ readonly seconds: number | null }>`
    select extract(epoch from ${now} - min(created_at))::float8 as seconds
    from (select created_at from outbox where state = 'queued' order by due_at limit 10000) unsent`.execute(
    db,
  );
  return Math.max(0, rows[0]?.seconds ?? 0);
}

/** Deletes messages that were finished over 7 days ago. */
export async function sweepOutbox(db: Db, now: RawBuilder<Date>, limit: number): Promise<number> {
  const { numAffectedRows } = await sql`
    delete from outbox where message_id = any(array(
      select message_id from outbox
      where state <> 'queued' and finished_at < ${now} - interval '7 days'
      order by finished_at limit ${limit} for update skip locked))`.execute(db);
  return Number(numAffectedRows ?? 0n);
}
