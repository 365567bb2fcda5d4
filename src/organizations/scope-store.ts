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
 */
export function resolveScope({ who, requested }: ScopeParts): RawBuilder<ScopeRow> {
  const organization = sql`${requested?.organizationId ?? null}::uuid`;
  const merchant = sql`${requested?.merchantId ?? null}::uuid`;
  return sql<ScopeRow>`
    select w.account_id, member.organization_id, place.merchant_id,
      case when ${merchant} is not null then place.merchant_id is not null
        when ${organization} is not null then member.organization_id is not null
        else true
      end as scope_granted,
      ${grantsOf(sql`w.account_id`, sql`member.organization_id`, sql`place.merchant_id`)} as grants,
      array(
        select ra.role from role_assignments ra
        where ra.account_id = w.account_id and ra.organization_id is null order by ra.role
      ) as platform_roles
    from ${who} w
    left join lateral (
      select ra.organization_id from role_assignments ra
      where ra.account_id = w.account_id and ra.organization_id is not null
        and (${organization} is null or ra.organization_id = ${organization})
      order by ra.organization_id is not distinct from w.preferred_organization_id desc,
        ra.created_at, ra.role_assignment_id
      limit 1
    ) member on true
    left join lateral (
      select m.merchant_id from merchants m
      where m.organization_id = member.organization_id
        and m.merchant_id = case when ${requested !== undefined}::boolean then ${merchant}
          else w.preferred_merchant_id end
        and exists (
          select from role_assignments ra
          where ra.account_id = w.account_id and ra.organization_id = m.organization_id
            and (ra.merchant_id is null or ra.merchant_id = m.merchant_id)
        )
    ) place on true`;
}

/**
 * An expression: the roles in the organization as a JSON list of `Grant`, those of the scope first.
 */
function grantsOf(
  account: RawBuilder<unknown>,
  organization: RawBuilder<unknown>,
  merchant: RawBuilder<unknown>,
): RawBuilder<readonly Grant[]> {
  return sql`coalesce((
    select jsonb_agg(jsonb_strip_nulls(jsonb_build_object('role', g.role, 'merchantId', g.merchant_id))
      order by g.rank, g.merchant_id, g.role)
    from (
      select ra.role, ra.merchant_id, case when ra.merchant_id is null then 0
        when ra.merchant_id = ${merchant} then 1 else 2 end as rank
      from role_assignments ra
      where ra.account_id = ${account} and ra.organization_id = ${organization}
      order by rank, ra.merchant_id, ra.role
      limit ${MAX_GRANTS}
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
