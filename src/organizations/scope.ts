import { validate } from 'uuid';
import { fieldInvalid } from '../core/errors.js';
import type { Grant, SessionScope } from '../sessions/index.js';

/**
 * Where somebody asks to act. Without an organization: the preferred one, else the oldest; a
 * merchant must belong to it. An absent request asks for nothing, and keeps the preferred merchant
 * too.
 */
export interface ScopeRequest {
  readonly organizationId?: string;
  readonly merchantId?: string;
}

/** Where somebody acts, and what they may do there. */
export interface GrantedScope {
  readonly scope: SessionScope;
  readonly grants: readonly Grant[];
  readonly platformRoles: readonly string[];
}

/**
 * Reads a scope as it arrives; empty strings are absent, and a scope with nothing in it is no
 * request. `field` is the proto field that holds it. Throws FIELD_INVALID for what is no id of
 * ours.
 */
export function parseScope(
  field: string,
  raw: { readonly organizationId?: string; readonly merchantId?: string } | undefined,
): ScopeRequest | undefined {
  const organizationId = parseId(`${field}.organization_id`, raw?.organizationId);
  const merchantId = parseId(`${field}.merchant_id`, raw?.merchantId);
  if (organizationId === undefined && merchantId === undefined) return undefined;
  return {
    ...(organizationId === undefined ? {} : { organizationId }),
    ...(merchantId === undefined ? {} : { merchantId }),
  };
}

function parseId(field: string, raw: string | undefined): string | undefined {
  if (raw === undefined || raw === '') return undefined;
  if (!validate(raw))
    throw fieldInvalid(field, `${field} must be an id that this service gave out`);
  return raw.toLowerCase();
}
