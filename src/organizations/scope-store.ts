import { type RawBuilder, sql } from 'kysely';
import type { Grant } from '../sessions/index.js';
import type { GrantedScope, ScopeRequest } from './scope.js';

/**
 * An access token has a bounded length. The grants that hold in the scope come first, so that what
 * falls off is only ever power elsewhere, in merchants that one can choose as the scope.
 */
export const MAX_GRANTS = 24;

/** What `resolveScope` selects, one row for each account. */
export interface ScopeRow {
  readonly account_id: string;
  readonly organization_id: string | null;
  readonly merchant_id: string | null;
  /**
   * False: a scope was requested that the account has no role in; the other columns mean nothing.
   */
  readonly scope_granted: boolean;
  readonly grants: readonly Grant[];
  readonly platform_roles: readonly string[];
}

export interface ScopeParts {
  /**
   * A CTE, or a subquery in parentheses, with `account_id` and, both perhaps null,
   * `preferred_organization_id` and `preferred_merchant_id`.
   */
  readonly who: RawBuilder<unknown>;
  readonly requested: ScopeRequest | undefined;
}

/**
 * Body of a CTE that finds where each account of `who` acts and with which roles, by the roles as
 * they are now (A6). A requested organization is granted by any role in it; a requested merchant by
 * a role in it or in its whole organization. Nothing requested: the preferred scope if it is still
 * granted, else the oldest membership, else nowhere.
 *
 * `offset 0`: the organization is found once, and not again wherever it is named.
 */
export function resolveScope({ who, requested }: ScopeParts): RawBuilder<ScopeRow> {
  const wanted = partsOf(requested);
  return sql<ScopeRow>`
    select w.account_id, member.organization_id, ${wanted.merchant} as merchant_id,
      ${wanted.granted} as scope_granted,
      ${grantsOf(sql`w.account_id`, sql`member.organization_id`, wanted.merchant)} as grants,
      array(
        select ra.role from role_assignments ra
        where ra.account_id = w.account_id and ra.organization_id is null
        order by ra.organization_id, ra.merchant_id, ra.role
      ) as platform_roles
    from ${who} w
    left join lateral (select ${wanted.organization} as organization_id offset 0) member on true
    ${wanted.place}`;
}

interface Wanted {
  /** Of the account `w`: the organization where it acts, or null. */
  readonly organization: RawBuilder<unknown>;
  /** A join that gives `place`, the merchant, where one may come into question. */
  readonly place: RawBuilder<unknown>;
  readonly merchant: RawBuilder<unknown>;
  readonly granted: RawBuilder<boolean>;
}

/** What was requested decides the text: a statement starts no plan that it cannot need. */
function partsOf(requested: ScopeRequest | undefined): Wanted {
  const { organizationId, merchantId } = requested ?? {};
  const organization =
    organizationId === undefined
      ? sql`coalesce(${memberOf(sql`w.preferred_organization_id`)}, (
        select ra.organization_id from role_assignments ra
        where ra.account_id = w.account_id and ra.organization_id is not null
        order by ra.created_at, ra.role_assignment_id
        limit 1))`
      : memberOf(sql`${organizationId}::uuid`);
  if (requested === undefined) {
    const place = merchantWith(sql`w.preferred_merchant_id`);
    return { organization, place, merchant: sql`place.merchant_id`, granted: sql<boolean>`true` };
  }
  if (merchantId === undefined) {
    const granted =
      organizationId === undefined
        ? sql<boolean>`true`
        : sql<boolean>`member.organization_id is not null`;
    return { organization, place: sql``, merchant: sql`null::uuid`, granted };
  }
  const granted = sql<boolean>`place.merchant_id is not null`;
  const place = merchantWith(sql`${merchantId}::uuid`);
  return { organization, place, merchant: sql`place.merchant_id`, granted };
}

/** An expression: the organization, where the account `w` has any role in it; else null. */
function memberOf(organization: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`(
        select ra.organization_id from role_assignments ra
        where ra.account_id = w.account_id and ra.organization_id = ${organization}
        limit 1)`;
}

/** A join: the merchant of the member's organization, where the account `w` may act in it. */
function merchantWith(merchant: RawBuilder<unknown>): RawBuilder<unknown> {
  return sql`left join lateral (
      select m.merchant_id from merchants m
      where m.organization_id = member.organization_id and m.merchant_id = ${merchant}
        and exists (
          select from role_assignments ra
          where ra.account_id = w.account_id and ra.organization_id = m.organization_id
            and (ra.merchant_id is null or ra.merchant_id = m.merchant_id)
        )
    ) place on true`;
}

/**
 * An expression: the roles in the organization as a JSON list of `Grant`, those of the scope first. The
 * list is in the order of the subquery, which nothing comes between.
 */
function grantsOf(
  account: RawBuilder<unknown>,
  organization: RawBuilder<unknown>,
  merchant: RawBuilder<unknown>,
): RawBuilder<readonly Grant[]> {
  return sql`coalesce((
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('role', g.role, 'merchantId', g.merchant_id)))
    from (
      select ra.role, ra.merchant_id
      from role_assignments ra
      where ra.account_id = ${account} and ra.organization_id = ${organization}
      order by case when ra.merchant_id is null then 0
        when ra.merchant_id = ${merchant} then 1 else 2 end, ra.merchant_id, ra.role
      limit ${sql.lit(MAX_GRANTS)}
    ) g), '[]')`;
}

/** The row as the domain has it. */
export function toScope(row: Omit<ScopeRow, 'account_id' | 'scope_granted'>): GrantedScope {
  return {
    scope: {
      ...(row.organization_id === null ? {} : { organizationId: row.organization_id }),
      ...(row.merchant_id === null ? {} : { merchantId: row.merchant_id }),
    },
    grants: row.grants,
    platformRoles: row.platform_roles,
  };
}
