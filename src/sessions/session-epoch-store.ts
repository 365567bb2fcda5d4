import { type RawBuilder, sql } from 'kysely';

/**
 * CTE body: lets introspection learn that the sessions of the account of `raised` (`account_id`,
 * `session_epoch`: after it rose) are over. Whoever raises an account's epoch writes this with it, in the
 * same statement; sessions that were carried over to the new epoch live on. `now` is a moment after the
 * account was locked: sessions may begin while its lock is waited for.
 */
export function recordRaisedEpoch(
  now: RawBuilder<Date>,
  raised: RawBuilder<unknown>,
): RawBuilder<unknown> {
  return sql`
    insert into session_epochs as e (account_id, session_epoch, raised_at)
    select r.account_id, r.session_epoch, ${now} from ${raised} r
    on conflict (account_id) do update
      set session_epoch = excluded.session_epoch, raised_at = excluded.raised_at
    where e.session_epoch < excluded.session_epoch`;
}

/** Condition: all sessions of the account were ended after that moment. It is remembered for a day. */
export function epochRaisedSince(
  accountId: RawBuilder<unknown>,
  moment: RawBuilder<unknown>,
): RawBuilder<boolean> {
  return sql<boolean>`exists (select from session_epochs e
    where e.account_id = ${accountId} and e.raised_at > ${moment})`;
}

/**
 * CTE body: takes the session over to the risen epoch of its account, the row of `raised`: whoever revokes
 * the others stays signed in.
 */
export function carrySessionOver(
  sessionId: string,
  raised: RawBuilder<unknown>,
): RawBuilder<unknown> {
  return sql`
    update sessions s set session_epoch = r.session_epoch from ${raised} r
    where s.session_id = ${sessionId}::uuid and s.account_id = r.account_id`;
}
