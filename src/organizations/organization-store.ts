import { type RawBuilder, sql } from 'kysely';

/** Roles over an organization, or over a merchant of it; `operator` is over the platform. */
export type OrganizationRole = 'owner' | 'employee' | 'cashier' | 'customer';

/** Body of a CTE that creates an organization for the row of `from` (one row at most). */
export function insertOrganization(
  now: RawBuilder<Date>,
  organization: { readonly organizationId: string; readonly name: string },
  from: RawBuilder<unknown>,
): RawBuilder<{ organization_id: string }> {
  return sql`
    insert into organizations (organization_id, name, created_at, updated_at)
    select ${organization.organizationId}::uuid, ${organization.name}::text, ${now}, ${now}
    from ${from}
    returning organization_id`;
}

/** Body of a CTE that gives the row of `from` (one row at most) a role in a whole organization. */
export function insertRoleAssignment(
  now: RawBuilder<Date>,
  assignment: {
    readonly id: string;
    readonly role: OrganizationRole;
    readonly organizationId: string;
  },
  parts: { readonly accountId: RawBuilder<unknown>; readonly from: RawBuilder<unknown> },
): RawBuilder<{ role_assignment_id: string }> {
  return sql`
    insert into role_assignments (role_assignment_id, account_id, role, organization_id, created_at)
    select ${assignment.id}::uuid, ${parts.accountId}, ${assignment.role}::text,
      ${assignment.organizationId}::uuid, ${now}
    from ${parts.from}
    returning role_assignment_id`;
}
