import { type RawBuilder, sql } from 'kysely';
import type { IdentifierType } from '../core/contact.js';
import {
  CLAIM_LIFETIME_DAYS,
  channelOfType,
  MAX_CLAIMS_PER_ADDRESS,
  type ProofPolicy,
} from './identifier.js';

const CLAIM_LIFETIME = sql.raw(`interval '${CLAIM_LIFETIME_DAYS} days'`);

/**
 * CTE body: an identifier that a new account holds from its first moment, as `account_id` and `state`. `by`: what
 * stands behind it. The username counts as verified (A1); one that was generated may be changed once.
 */
export function insertProven(
  now: RawBuilder<Date>,
  held: { type: IdentifierType; value: string; by: 'sign_up' | 'generated' | 'code' },
  parts: { accountId: RawBuilder<unknown>; from: RawBuilder<unknown> },
): RawBuilder<unknown> {
  return sql`insert into identifiers (account_id, type, value, state, sign_in_enabled, proven_by, verified_at, created_at)
    select ${parts.accountId}, ${held.type}::text, ${held.value}::text, 'verified', true, ${held.by}::text, ${now}, ${now}
    from ${parts.from}
    returning account_id, state`;
}

/** An address that somebody claims. A claim reserves nothing (V6). */
export interface Claim {
  readonly type: 'email' | 'phone';
  readonly value: string;
}

/**
 * CTE bodies of a claim by the account of `from` (column `account_id`): the account's claim of another
 * value falls, the oldest claims of others fall where there would be too many, and the claim stands,
 * or stands longer. What the account holds stays until the new value is proven.
 *
 * Each names the ones before it, because writing CTEs otherwise run in no promised order: the own claim is
 * written before rivals' rows are locked, so that two senders never wait for each other's claims.
 *
 * Others' rows are deleted by their place, here and below: joined by key, a plan that was made and kept
 * while there were few claims reads all of them, once for each.
 */
export function claimAddress(
  now: RawBuilder<Date>,
  claim: Claim,
  parts: { from: RawBuilder<unknown>; replaced: RawBuilder<unknown>; claimed: RawBuilder<unknown> },
): { replaced: RawBuilder<unknown>; fallen: RawBuilder<unknown>; claimed: RawBuilder<unknown> } {
  const type = sql`${claim.type}::text`;
  const value = sql`${claim.value}::text`;
  return {
    replaced: sql`delete from identifiers i using ${parts.from} f
      where i.account_id = f.account_id and i.type = ${type} and i.state = 'claimed' and i.value <> ${value}
      returning i.account_id`,
    fallen: sql`delete from identifiers where ctid = any(array(
      select o.ctid from identifiers o, ${parts.from} f
      where o.type = ${type} and o.value = ${value} and o.state = 'claimed' and o.account_id <> f.account_id
      and (select count(*) from ${parts.claimed}) >= 0
      order by o.created_at desc
      offset ${sql.lit(MAX_CLAIMS_PER_ADDRESS - 1)} limit ${sql.lit(MAX_CLAIMS_PER_ADDRESS)}
      for update of o skip locked))`,
    claimed: sql`insert into identifiers (account_id, type, value, state, sign_in_enabled, claim_expires_at, created_at)
      select f.account_id, ${type}, ${value}, 'claimed', false, ${now} + ${CLAIM_LIFETIME}, ${now}
      from ${parts.from} f where (select count(*) from ${parts.replaced}) >= 0
      on conflict on constraint identifiers_pkey do update set claim_expires_at = excluded.claim_expires_at
      where identifiers.state = 'claimed'
      returning account_id`,
  };
}

/**
 * Condition: another account holds the address, or several do (disputed). Who holds it already is not kept
 * from it by one that lost it.
 */
export function heldByAnother(
  { type, value }: { readonly type: IdentifierType; readonly value: string },
  accountId: RawBuilder<unknown>,
): RawBuilder<boolean> {
  const held = (states: RawBuilder<unknown>, by: RawBuilder<unknown>) =>
    sql`exists (select from identifiers h where h.type = ${type}::text and h.value = ${value}::text
      and ${states} and h.account_id ${by} ${accountId})`;
  const holds = sql`h.state in ('verified', 'lapsed')`;
  // Two looks, one per index: none covers all three states, and one condition would scan the table.
  return sql<boolean>`(${held(holds, sql`<>`)}
    or (${held(sql`h.state = 'disputed'`, sql`<>`)} and not ${held(holds, sql`=`)}))`;
}

/**
 * CTE bodies of a proof by the account of `redeemed` (column `account_id`). They name each other: all but
 * `rivals` are the names under which the statement must hold them.
 *
 * - `ousted`: an operator's word is less than a code. Another account that an operator vouched for loses the
 *   address and any way in by it: it is disputed from now on, for an operator to look at.
 * - `collision`: another account holds the address all the same.
 * - `dropped`: what the account had of this type, or under a collision only the claim.
 * - `proven`: the address as the account's own. A rival that proved it a moment ago shows as a unique
 *   violation on `identifiers_holder`: run the statement again, and it is a collision. One that the account
 *   holds already stays the one that it is (`created_at`), and codes that were sent to it stay good.
 * - `rivals`: every rival claim falls (rule 10); rows that somebody works on are left to the sweeper.
 *
 * Under `PROOF_COLLISION=contact` the address becomes a contact, unless the account already holds a
 * verified one of the type: trading a way in for a contact would not be what anybody asked for.
 */
export function proveAddress(
  now: RawBuilder<Date>,
  claim: Claim,
  policy: ProofPolicy,
): Record<'ousted' | 'collision' | 'dropped' | 'proven' | 'rivals', RawBuilder<unknown>> {
  const type = sql`${claim.type}::text`;
  const value = sql`${claim.value}::text`;
  const automatic = policy.promote[channelOfType(claim.type)] === 'automatic';
  const mayBeContact =
    policy.collision === 'refuse'
      ? sql`false`
      : sql`not exists (select from identifiers h, redeemed r where h.account_id = r.account_id
          and h.type = ${type} and h.state in ('verified', 'lapsed', 'disputed'))`;
  return {
    ousted: sql`update identifiers set state = 'disputed', sign_in_enabled = false where ctid = any(array(
      select o.ctid from identifiers o, redeemed r
      where o.type = ${type} and o.value = ${value} and o.state in ('verified', 'lapsed')
        and o.proven_by = 'operator' and o.account_id <> r.account_id
      for update of o skip locked))
      returning account_id`,
    collision: sql`select ${mayBeContact} as as_contact from redeemed r
      where not exists (select from ousted) and ${heldByAnother(claim, sql`r.account_id`)}`,
    dropped: sql`delete from identifiers i using redeemed r
      where i.account_id = r.account_id and i.type = ${type}
        and (i.state = 'claimed' or not exists (select from collision where not as_contact))
      returning i.state, i.value, i.sign_in_enabled, i.kept_demoted, i.created_at`,
    proven: sql`
      insert into identifiers (account_id, type, value, state, sign_in_enabled, kept_demoted, proven_by, verified_at, created_at)
      select r.account_id, ${type}, ${value}, case when c.as_contact then 'contact' else 'verified' end,
        c.as_contact is null and (coalesce(h.sign_in_enabled, false)
          or (${automatic}::boolean and not coalesce(h.kept_demoted, false))),
        coalesce(h.kept_demoted, false), 'code', ${now},
        case when h.value = ${value} then h.created_at else ${now} end
      from redeemed r left join collision c on true left join dropped h on h.state <> 'claimed'
      where coalesce(c.as_contact, true) and (select count(*) from dropped) >= 0
      returning account_id, type, value, state, sign_in_enabled, kept_demoted, verified_at`,
    rivals: rivalClaims(claim),
  };
}

/** CTE body: the claims that fall to `proven` (columns `account_id`, `state`), a CTE of the statement. */
export function rivalClaims({ type, value }: Claim): RawBuilder<unknown> {
  return sql`delete from identifiers where ctid = any(array(
      select o.ctid from identifiers o, proven p
      where o.type = ${type}::text and o.value = ${value}::text and o.state = 'claimed'
        and p.state = 'verified' and o.account_id <> p.account_id
      limit ${sql.lit(MAX_CLAIMS_PER_ADDRESS)} for update of o skip locked))`;
}

/**
 * CTE body: the account that signs in with a value, active and by a verified handle (A3). Null type:
 * a value that is no identifier, for which the same statement finds nobody.
 */
export function findHandle(type: IdentifierType | undefined, value: string): RawBuilder<unknown> {
  return sql`select a.account_id, a.proof_epoch, a.session_epoch, a.password_hash, a.password_pepper
    from identifiers i join accounts a on a.account_id = i.account_id
    where i.type = ${type ?? null}::text and i.value = ${value}::text and i.sign_in_enabled
      and i.state = 'verified' and a.status = 'active'`;
}
