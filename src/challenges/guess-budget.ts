import { type RawBuilder, sql } from 'kysely';
import type { Channel } from '../core/contact.js';

/**
 * Guess budgets: how often somebody may be wrong about an account or an address, per channel and lane
 * (rules 2 and 3). Caller, source, code and challenge are not in the key, so rotating them refills
 * nothing. A guess is charged before it is judged, in one guarded upsert that commits by itself.
 *
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> open
 *   open --> open: wrong (failures + 1, window + 1)
 *   open --> shut: MAX_FAILED_ATTEMPTS wrong in a row
 *   shut --> open: LOCKOUT_DURATION over (failures from 0)
 *   open --> closed: long window full
 *   closed --> open: 30 days after the window's beginning
 *   open --> open: right (failures 0, its own charge refunded)
 * ```
 */
export type Lane = 'session' | 'anonymous';
export type GuessChannel = Channel | 'password';

/** Whose budgets a guess is counted in: a signed-in person's own, or everybody's. */
export const laneOf = ({ accountId }: { readonly accountId: string | undefined }): Lane =>
  accountId === undefined ? 'anonymous' : 'session';

export interface BudgetPolicy {
  /** Wrong guesses in a row before the row shuts. */
  readonly maxFailures: number;
  readonly lockoutSeconds: number;
  /** Each lock in a row doubles the wait, up to 64 times: passwords, which have no other end. */
  readonly growingWaits: boolean;
  /**
   * Where the 30 days of the long window are counted from. `last`: every counted guess begins them anew,
   * so that no 30 days ever see more than the limit: codes, where the promise is a number. `first`: a
   * window of fixed length, so that somebody who mistypes now and then for a year is not stopped:
   * passwords.
   */
  readonly window: 'first' | 'last';
}

/** Wrong short codes that one row takes in a long window, never cleared by success. */
export const CODE_WINDOW_FAILURES = 50;
/** Wrong passwords that one account takes in a long window, where it has another way back. */
export const PASSWORD_WINDOW_FAILURES = 100;
const WINDOW = sql.raw("interval '30 days'");

export interface GuessKey {
  readonly channel: GuessChannel;
  readonly lane: Lane;
}

/**
 * CTE body: charges every row of `subjects` (columns `subject`, `window_limit`: null for none) that is
 * open, in key order, and returns those. All are of one channel, which may be named by a column of
 * `subjects` (as `s`). A row that is shut is not written at all, so an attack on a shut row leaves no
 * dead tuples.
 */
export function chargeBudgets(
  now: RawBuilder<Date>,
  key: { readonly channel: RawBuilder<unknown>; readonly lane: Lane },
  policy: BudgetPolicy,
  subjects: RawBuilder<unknown>,
): RawBuilder<unknown> {
  const { maxFailures, lockoutSeconds } = policy;
  const base = sql`make_interval(secs => ${lockoutSeconds}::float8)`;
  const wait = policy.growingWaits ? sql`${base} * power(2, least(b.locks, 6))` : base;
  const failures = sql`(case when b.locked_until is null then b.failures + 1 else 1 end)`;
  const windowOver = sql`b.window_started_at <= excluded.window_started_at - ${WINDOW}`;
  const windowBegins = policy.window === 'last' ? sql`true` : windowOver;
  return sql`
    insert into guess_budgets as b
      (subject, channel, lane, failures, locks, locked_at, locked_until, window_failures, window_started_at)
    select s.subject, ${key.channel}, ${key.lane}::text, 1, one.locks,
      case when one.locks = 1 then ${now} end, case when one.locks = 1 then ${now} + ${base} end, 1, ${now}
    from (${subjects}) s, (select (${maxFailures}::int = 1)::int as locks) one
    order by s.subject
    on conflict (subject, channel, lane) do update set
      failures = ${failures},
      locks = case when ${failures} >= ${maxFailures}::int then b.locks + 1 else b.locks end,
      locked_at = case when ${failures} >= ${maxFailures}::int then excluded.window_started_at else b.locked_at end,
      locked_until = case when ${failures} >= ${maxFailures}::int then excluded.window_started_at + ${wait} end,
      window_failures = case when ${windowOver} then 1 else b.window_failures + 1 end,
      window_started_at = case when ${windowBegins} then excluded.window_started_at else b.window_started_at end
    where (b.locked_until is null or b.locked_until <= excluded.window_started_at)
      and (${windowOver} or b.window_failures < coalesce(
        (select s.window_limit from (${subjects}) s where s.subject = b.subject), 2147483647))
    returning b.subject, b.failures`;
}

/** Condition on a row `g`: nothing of the ordinary kind is judged against it now. */
export function isShut(
  now: RawBuilder<Date>,
  windowLimit: RawBuilder<unknown>,
): RawBuilder<boolean> {
  return sql<boolean>`(coalesce(g.locked_until > ${now}, false) or ${isClosed(now, windowLimit)})`;
}

/** The same of a row that counts codes. */
export const isCodeShut = (now: RawBuilder<Date>): RawBuilder<boolean> =>
  isShut(now, sql`${sql.lit(CODE_WINDOW_FAILURES)}`);

/** Condition on a row `g`: the long window is full. */
export function isClosed(
  now: RawBuilder<Date>,
  windowLimit: RawBuilder<unknown>,
): RawBuilder<boolean> {
  return sql<boolean>`coalesce(g.window_failures >= ${windowLimit}
    and g.window_started_at > ${now} - ${WINDOW}, false)`;
}

/** Seconds until a row `g` that is shut opens; null while it is open. */
export function waitSeconds(
  now: RawBuilder<Date>,
  windowLimit: RawBuilder<unknown>,
): RawBuilder<number | null> {
  return sql<number | null>`ceil(extract(epoch from greatest(
    case when g.locked_until > ${now} then g.locked_until end,
    case when ${isClosed(now, windowLimit)} then g.window_started_at + ${WINDOW} end) - ${now}))::int`;
}

/**
 * CTE body: locks the rows in key order, so that a following clear takes no lock out of order.
 * `subjects` gives `subject` and `charged`: whether this guess was counted there.
 */
export function lockBudgets(key: GuessKey, subjects: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`select b.subject, s.charged from guess_budgets b join (${subjects}) s on s.subject = b.subject
    where b.channel = ${key.channel}::text and b.lane = ${key.lane}::text
    order by b.subject for update of b`;
}

/**
 * CTE body: success. Clears the count and the lock of the rows that `locked` holds, and refunds in the
 * long window the guess's own charge alone.
 */
export function clearBudgets(
  key: GuessKey,
  parts: { locked: RawBuilder<unknown>; when: RawBuilder<unknown> },
): RawBuilder<unknown> {
  return sql`update guess_budgets b
    set failures = 0, locks = 0, locked_until = null,
      window_failures = greatest(b.window_failures - l.charged::int, 0)
    from ${parts.locked} l
    where b.subject = l.subject and b.channel = ${key.channel}::text and b.lane = ${key.lane}::text
      and exists (${parts.when})`;
}

/**
 * CTE body: lifts every count and lock of the rows that `locked` holds, whatever they count. For a proof
 * that outweighs them: a sign-in by code, a recovery. The long window of codes alone counts on: no proof
 * may refill what the promised bound is made of (rule 3).
 */
export function liftBudgets(locked: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`update guess_budgets b
    set failures = 0, locks = 0, locked_until = null,
      window_failures = case when b.channel = 'password' then 0 else b.window_failures end
    from ${locked} l where b.subject = l.subject and b.channel = l.channel and b.lane = l.lane`;
}

/**
 * A whole statement: takes back one charge of each subject, and the lock that it brought on. For guesses
 * that were never judged, or were right and of no use, and for these alone. Undefined for no subjects.
 */
export function refundBudgets(
  key: GuessKey,
  policy: BudgetPolicy,
  subjects: readonly RawBuilder<unknown>[],
): RawBuilder<unknown> | undefined {
  if (subjects.length === 0) return undefined;
  const brokeIt = sql`b.failures >= ${policy.maxFailures}::int`;
  return sql`
    with locked as materialized (
      select b.subject from guess_budgets b
      where b.channel = ${key.channel}::text and b.lane = ${key.lane}::text
        and b.subject in (${sql.join(subjects)})
      order by b.subject for update
    )
    update guess_budgets b set failures = greatest(b.failures - 1, 0),
      locks = case when ${brokeIt} then greatest(b.locks - 1, 0) else b.locks end,
      locked_until = case when ${brokeIt} then null else b.locked_until end,
      window_failures = greatest(b.window_failures - 1, 0)
    from locked l
    where b.subject = l.subject and b.channel = ${key.channel}::text and b.lane = ${key.lane}::text`;
}
