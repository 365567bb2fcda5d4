import { type RawBuilder, sql } from 'kysely';
import type { Clock } from '../core/clock.js';

/**
 * "Now", by the database's clock. Volatile: it is evaluated per row and after a lock was waited for,
 * as guarded writes need. No index condition can use it: see `sqlNowOnce`.
 */
export function sqlNow(clock: Clock): RawBuilder<Date> {
  return sql<Date>`(clock_timestamp() + make_interval(secs => ${clock.offsetMs / 1000}))`;
}

/**
 * "Now", evaluated once per statement: what searches an index by time (`due_at <= now`) needs, since
 * PostgreSQL compares no index with a volatile expression. Not for guards that decide after waiting.
 */
export function sqlNowOnce(clock: Clock): RawBuilder<Date> {
  return sql<Date>`(select ${sqlNow(clock)})`;
}

/**
 * The one moment of a statement of several parts: `clockCte` stands first in its `with`, and every part
 * that needs the time says `statementNow`. Taken when it is first read, before any lock was waited for:
 * a guard that decides after waiting asks `sqlNow` itself.
 */
export function clockCte(clock: Clock): RawBuilder<unknown> {
  return sql`t as materialized (select ${sqlNow(clock)} as now)`;
}

/** See `clockCte`. */
export const statementNow: RawBuilder<Date> = sql<Date>`(select now from t)`;
