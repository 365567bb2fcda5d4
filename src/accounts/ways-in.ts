import { type RawBuilder, sql } from 'kysely';

/**
 * Ways into an account (docs/architecture.md, "Identifiers"): a password together with an identifier that is
 * verified and signs in, a username included; or a verified phone that signs in, by code alone. Recovery is
 * none.
 *
 * Condition: with a password (a boolean) and these identifiers (a relation) there is one.
 */
export function hasWayIn(
  hasPassword: RawBuilder<unknown>,
  identifiers: RawBuilder<unknown>,
): RawBuilder<boolean> {
  return sql<boolean>`exists (select from ${identifiers} w
    where w.sign_in_enabled and w.state = 'verified' and (${hasPassword} or w.type = 'phone'))`;
}

/**
 * CTE body: the identifiers of the account that `account` (a CTE) has locked, as they are now. Locked too: the
 * statement's snapshot may be older than the account's lock, and a rival's demotion committed between the
 * two would not be seen.
 */
export function ownIdentifiers(account: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`select i.type, i.value, i.state, i.sign_in_enabled, i.kept_demoted, i.proven_by, i.verified_at,
      i.created_at
    from ${account} a join identifiers i on i.account_id = a.account_id
    order by i.type, i.value for update of i`;
}
