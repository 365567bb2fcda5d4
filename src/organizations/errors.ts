import { DomainError } from '../core/errors.js';

export type OrganizationsReason = 'SCOPE_NOT_GRANTED';

/** One answer for a scope that does not exist and one that the person has no role in (rule 25). */
export function scopeNotGranted(): DomainError<OrganizationsReason> {
  return new DomainError('SCOPE_NOT_GRANTED', 'the account has no role in the requested scope');
}
