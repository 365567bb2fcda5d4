export { type OrganizationsReason, scopeNotGranted } from './errors.js';
export {
  insertOrganization,
  insertRoleAssignment,
  type OrganizationRole,
} from './organization-store.js';
export { type GrantedScope, parseScope, type ScopeRequest } from './scope.js';
export {
  MAX_GRANTS,
  resolveScope,
  type ScopeParts,
  type ScopeRow,
  toScope,
} from './scope-store.js';
