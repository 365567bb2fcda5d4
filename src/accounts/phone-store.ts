import { type RawBuilder, sql } from 'kysely';
import { hasWayIn } from './ways-in.js';

/**
 * CTE body: the account that a number stands for: its holder, else the oldest of those who dispute it. None:
 * the number is nobody's, whoever claims it. Two looks, one per index.
 */
export function accountOfPhone(phone: string): RawBuilder<unknown> {
  const look = (states: RawBuilder<unknown>, rank: number) =>
    sql`select account_id, ${sql.lit(rank)} as rank, created_at from identifiers
      where type = 'phone' and value = ${phone}::text and ${states}`;
  return sql`select account_id from (
      ${look(sql`state in ('verified', 'lapsed')`, 0)} union all ${look(sql`state = 'disputed'`, 1)}) n
    order by rank, created_at, account_id limit 1`;
}

/**
 * Condition: the number `i` of an account `a` (with `has_password`) signs in to it by a code alone. One whose
 * proof has lapsed does where nothing else would: the code that signs in proves it again. `own`: all
 * identifiers of the account.
 */
export function phoneSignsIn(own: RawBuilder<unknown>): RawBuilder<boolean> {
  return sql<boolean>`(a.status = 'active' and (i.state = 'verified' and i.sign_in_enabled
    or i.state = 'lapsed' and not i.kept_demoted and not ${hasWayIn(sql`a.has_password`, own)}))`;
}

/** CTE body: the number of the account of `from` (one row at most) is proven again, and signs in. */
export function provePhoneAgain(
  now: RawBuilder<Date>,
  phone: string,
  from: RawBuilder<unknown>,
): RawBuilder<unknown> {
  return sql`update identifiers i set state = 'verified', sign_in_enabled = true, proven_by = 'code', verified_at = ${now}
    from ${from} f where i.account_id = f.account_id and i.type = 'phone' and i.value = ${phone}::text
      and i.state = 'lapsed'
    returning i.account_id, i.state`;
}
