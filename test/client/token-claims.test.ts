import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type AccessTokenClaims,
  hasPlatformRole,
  hasRole,
  httpStatusOf,
  RoleRequiredError,
  requireRole,
} from '../../src/client/index.js';

function claimsWith(claims: Partial<AccessTokenClaims>): AccessTokenClaims {
  return {
    accountId: 'a',
    sessionId: 's',
    clientId: 'c',
    tokenId: 't',
    issueTime: new Date(0),
    expireTime: new Date(1),
    authTime: new Date(0),
    authenticationMethods: [],
    organizationId: 'org-1',
    merchantId: undefined,
    grants: [],
    roles: [],
    platformRoles: [],
    ...claims,
  };
}

const whole = { role: 'owner', merchantId: undefined };
const limited = { role: 'cashier', merchantId: 'm-1' };

describe('hasRole', () => {
  it('takes a grant over the organization for each of its merchants', () => {
    const claims = claimsWith({ grants: [whole] });
    expect(hasRole(claims, 'owner', { organizationId: 'org-1' })).toBe(true);
    expect(hasRole(claims, 'owner', { organizationId: 'org-1', merchantId: 'm-9' })).toBe(true);
  });

  it('takes a grant on a merchant for that merchant alone', () => {
    const claims = claimsWith({ grants: [limited] });
    expect(hasRole(claims, 'cashier', { organizationId: 'org-1', merchantId: 'm-1' })).toBe(true);
    expect(hasRole(claims, 'cashier', { organizationId: 'org-1', merchantId: 'm-2' })).toBe(false);
    expect(hasRole(claims, 'cashier', { organizationId: 'org-1' })).toBe(false);
  });

  it('never holds in another organization, nor without one (rule 25)', () => {
    const grants = [whole, limited];
    fc.assert(
      fc.property(
        fc.option(fc.string(), { nil: undefined }),
        fc.string(),
        fc.constantFrom('m-1', undefined),
        (mine, theirs, merchantId) => {
          fc.pre(mine !== theirs);
          const claims = claimsWith({ organizationId: mine, grants });
          expect(hasRole(claims, 'owner', { organizationId: theirs, merchantId })).toBe(false);
        },
      ),
    );
  });

  it('looks at grants, not at the convenience of roles', () => {
    expect(hasRole(claimsWith({ roles: ['owner'] }), 'owner', { organizationId: 'org-1' })).toBe(
      false,
    );
  });

  it('throws through requireRole what a BFF answers with 403', () => {
    const scope = { organizationId: 'org-1' };
    requireRole(claimsWith({ grants: [whole] }), 'owner', scope);
    const check = () => requireRole(claimsWith({}), 'owner', scope);
    expect(check).toThrow(RoleRequiredError);
    expect(httpStatusOf(new RoleRequiredError('owner'))).toBe(403);
  });

  it('keeps platform roles apart', () => {
    const claims = claimsWith({ platformRoles: ['operator'] });
    expect(hasPlatformRole(claims, 'operator')).toBe(true);
    expect(hasPlatformRole(claims, 'owner')).toBe(false);
    expect(hasRole(claims, 'operator', { organizationId: 'org-1' })).toBe(false);
  });
});
