import type { JWTPayload } from 'jose';
import { RoleRequiredError, TokenInvalidError } from './token-errors.js';

/** One role in the session's organization. */
export interface TokenGrant {
  readonly role: string;
  /** The merchant it is limited to; absent when it holds in the whole organization. */
  readonly merchantId: string | undefined;
}

/** What a verified access token says, under the names that `IntrospectToken` uses. */
export interface AccessTokenClaims {
  /** `sub`. */
  readonly accountId: string;
  /** `sid`. */
  readonly sessionId: string;
  /** `client_id`: the calling service that got the token; empty where callers are anonymous. */
  readonly clientId: string;
  /** `jti`. */
  readonly tokenId: string;
  /** `iat`. */
  readonly issueTime: Date;
  /** `exp`. */
  readonly expireTime: Date;
  /** `auth_time`: when the person last proved who they are; a refresh does not move it. */
  readonly authTime: Date;
  /** `amr` (RFC 8176). */
  readonly authenticationMethods: readonly string[];
  /** `org`: the organization the session acts in. */
  readonly organizationId: string | undefined;
  /** `merchant`: the merchant in it, where the session is limited to one. */
  readonly merchantId: string | undefined;
  /** `grants`: every role in that organization; the truth. */
  readonly grants: readonly TokenGrant[];
  /** `roles`: names valid for the whole scope, for convenience. */
  readonly roles: readonly string[];
  /** `platform_roles`: roles over the whole service. */
  readonly platformRoles: readonly string[];
}

/** Where a role is asked for. The organization is the resource's own, not the token's. */
export interface RoleScope {
  readonly organizationId: string;
  readonly merchantId?: string | undefined;
}

/**
 * Whether the token grants a role there. A grant over the organization holds for each of its
 * merchants; one limited to a merchant never holds for the organization. The organization has to be
 * named: without it, an owner of one organization would pass for another's merchants.
 */
export function hasRole(claims: AccessTokenClaims, role: string, scope: RoleScope): boolean {
  if (claims.organizationId === undefined || claims.organizationId !== scope.organizationId)
    return false;
  return claims.grants.some(
    (grant) =>
      grant.role === role &&
      (grant.merchantId === undefined || grant.merchantId === scope.merchantId),
  );
}

/** Throws `RoleRequiredError` where `hasRole` is false. */
export function requireRole(claims: AccessTokenClaims, role: string, scope: RoleScope): void {
  if (!hasRole(claims, role, scope)) throw new RoleRequiredError(role);
}

/** Whether the token grants a role over the whole service. */
export function hasPlatformRole(claims: AccessTokenClaims, role: string): boolean {
  return claims.platformRoles.includes(role);
}

/**
 * Claims out of a payload whose signature was verified; `CLAIMS_INVALID` where one has a wrong
 * shape.
 */
export function parseClaims(payload: JWTPayload): AccessTokenClaims {
  return {
    accountId: required(payload['sub']),
    sessionId: required(payload['sid']),
    clientId: optionalText(payload['client_id']) ?? '',
    tokenId: required(payload['jti']),
    issueTime: moment(payload['iat']),
    expireTime: moment(payload['exp']),
    authTime: moment(payload['auth_time']),
    authenticationMethods: texts(payload['amr']),
    organizationId: optionalText(payload['org']),
    merchantId: optionalText(payload['merchant']),
    grants: list(payload['grants']).map(grant),
    roles: texts(payload['roles']),
    platformRoles: texts(payload['platform_roles']),
  };
}

function required(value: unknown): string {
  if (typeof value === 'string' && value !== '') return value;
  throw new TokenInvalidError('CLAIMS_INVALID');
}

/** An empty string means absent, as everywhere in the contract. */
function optionalText(value: unknown): string | undefined {
  return value === undefined || value === '' ? undefined : required(value);
}

function moment(value: unknown): Date {
  const date = new Date(typeof value === 'number' ? value * 1_000 : Number.NaN);
  if (Number.isNaN(date.getTime())) throw new TokenInvalidError('CLAIMS_INVALID');
  return date;
}

function list(value: unknown): readonly unknown[] {
  if (value === undefined) return [];
  if (Array.isArray(value)) return value;
  throw new TokenInvalidError('CLAIMS_INVALID');
}

function texts(value: unknown): readonly string[] {
  return list(value).map(required);
}

function grant(value: unknown): TokenGrant {
  if (typeof value !== 'object' || value === null) throw new TokenInvalidError('CLAIMS_INVALID');
  return {
    role: required('role' in value ? value.role : undefined),
    // Strict where it limits: a merchant that is there but empty must not widen a grant to all of
    // them.
    merchantId: 'merchant' in value ? required(value.merchant) : undefined,
  };
}
