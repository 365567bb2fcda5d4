import { type RawBuilder, sql } from 'kysely';
import { sessionIsAlive } from './session-store.js';

/** Where a page begins: behind this session. Text, because a `Date` has milliseconds and the column microseconds. */
export interface SessionPlace {
  readonly createdAt: string;
  readonly sessionId: string;
}

export interface ListedSessionRow {
  readonly session_id: string;
  readonly created_at: Date;
  /** The same, for the next page's place. */
  readonly place: string;
  readonly last_used_at: Date;
  readonly expires_at: Date;
  readonly caller: string;
  readonly amr: readonly string[];
  readonly client_sealed: Buffer | null;
}

/**
 * Subquery: the live sessions of the account of `owner` (a row with `account_id`, `session_epoch`), the
 * youngest first, `limit` of them behind a place. Sessions that begin meanwhile come before every place, so
 * that no page repeats or leaves out what stood already.
 */
export function selectLiveSessions(
  now: RawBuilder<Date>,
  owner: RawBuilder<unknown>,
  { after, limit }: { readonly after: SessionPlace | undefined; readonly limit: number },
): RawBuilder<ListedSessionRow> {
  const behind =
    after === undefined
      ? sql``
      : sql`and (s.created_at, s.session_id) < (${after.createdAt}::timestamptz, ${after.sessionId}::uuid)`;
  return sql<ListedSessionRow>`
    select s.session_id, s.created_at, s.created_at::text as place,
      coalesce(s.rotated_at, s.created_at) as last_used_at, s.idle_expires_at as expires_at,
      s.caller, s.amr, s.client_sealed
    from sessions s
    where s.account_id = ${owner}.account_id
      and ${sessionIsAlive(now, sql`s`, sql`${owner}.session_epoch`)} ${behind}
    order by s.created_at desc, s.session_id desc
    limit ${limit}`;
}
