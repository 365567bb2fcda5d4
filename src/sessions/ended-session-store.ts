import { type RawBuilder, sql } from 'kysely';
import type { Clock } from '../core/clock.js';
import { type Db, sqlNowOnce } from '../db/index.js';

/** Rows of one statement; a poll asks on until it gets fewer. */
const PAGE = 5_000;

/** What a token's account and session are judged by once the account's epoch has risen. */
export interface RevokedAccountRow {
  readonly account_id: string;
  /** The epoch that it rose to. */
  readonly session_epoch: number;
  /** Unix time of the second in which it rose: seconds are all that a token says. */
  readonly raised_second: number;
  /** Of the sessions that began in that same second, those that did so before. */
  readonly casualties: readonly string[];
  /** Of the sessions that began before that second, those that were carried over to the epoch. */
  readonly survivors: readonly string[];
}

/**
 * Select list of a `RevokedAccountRow`, over a row `e` (`account_id`, `session_epoch`, `raised_at`). Casualties
 * are complete as soon as the epoch shows: sessions of older ones began before the account's row was locked
 * for it.
 */
export const revokedAccount: RawBuilder<unknown> = sql`
  e.account_id, e.session_epoch, floor(extract(epoch from e.raised_at))::int8 as raised_second,
  array(
    select s.session_id from sessions s
    where s.account_id = e.account_id and s.session_epoch < e.session_epoch
      and s.auth_time = date_trunc('second', e.raised_at)
  ) as casualties,
  array(
    select s.session_id from sessions s
    where s.account_id = e.account_id and s.session_epoch >= e.session_epoch
      and s.auth_time < date_trunc('second', e.raised_at)
  ) as survivors`;

/** Ids of sessions that ended within the last `seconds`, page by page. */
export async function* endedSince(
  db: Db,
  clock: Clock,
  seconds: number,
): AsyncGenerator<readonly string[]> {
  // A cursor is text, because a `Date` has milliseconds and the column microseconds.
  let after = { ended_at: '-infinity', session_id: '00000000-0000-0000-0000-000000000000' };
  for (;;) {
    const { rows } = await sql<typeof after>`
      select ended_at::text as ended_at, session_id from sessions
      where ended_at > ${sqlNowOnce(clock)} - make_interval(secs => ${seconds})
        and (ended_at, session_id) > (${after.ended_at}::timestamptz, ${after.session_id}::uuid)
      order by sessions.ended_at, session_id
      limit ${PAGE}`.execute(db);
    yield rows.map((row) => row.session_id);
    const last = rows[PAGE - 1];
    if (last === undefined) return;
    after = last;
  }
}

/** Accounts whose sessions were all revoked within the last `seconds`, page by page. */
export async function* revokedSince(
  db: Db,
  clock: Clock,
  seconds: number,
): AsyncGenerator<readonly RevokedAccountRow[]> {
  let after = { raised_at: '-infinity', account_id: '00000000-0000-0000-0000-000000000000' };
  for (;;) {
    const { rows } = await sql<RevokedAccountRow & typeof after>`
      select ${revokedAccount}, e.raised_at::text as raised_at
      from session_epochs e
      where e.raised_at > ${sqlNowOnce(clock)} - make_interval(secs => ${seconds})
        and (e.raised_at, e.account_id) > (${after.raised_at}::timestamptz, ${after.account_id}::uuid)
      order by e.raised_at, e.account_id
      limit ${PAGE}`.execute(db);
    yield rows;
    const last = rows[PAGE - 1];
    if (last === undefined) return;
    after = last;
  }
}
