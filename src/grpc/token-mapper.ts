import { IntrospectTokenResponse } from '../../generated/countersign/v1/auth_service.js';
import type { TokenSet as TokenSetMessage } from '../../generated/countersign/v1/token.js';
import type { AccessTokenClaims, TokenSet } from '../sessions/index.js';

export function toTokenSetMessage(tokens: TokenSet): TokenSetMessage {
  return {
    tokenType: 'Bearer',
    accessToken: tokens.accessToken,
    expiresIn: tokens.expiresIn,
    refreshToken: tokens.refreshToken,
    refreshExpiresIn: tokens.refreshExpiresIn,
  };
}

/** Of an inactive token nothing is told, not even what it says. */
export function toIntrospection(claims: AccessTokenClaims | undefined): IntrospectTokenResponse {
  if (claims === undefined) return IntrospectTokenResponse.fromPartial({ active: false });
  return {
    active: true,
    accountId: claims.accountId,
    clientId: claims.caller,
    sessionId: claims.sessionId,
    tokenId: claims.tokenId,
    issuer: claims.issuer,
    audience: claims.audience,
    issueTime: claims.issuedAt,
    expireTime: claims.expiresAt,
    authTime: claims.authTime,
    authenticationMethods: [...claims.amr],
    scope: {
      organizationId: claims.scope.organizationId ?? '',
      merchantId: claims.scope.merchantId ?? '',
    },
    grants: claims.grants.map(({ role, merchantId }) => ({ role, merchantId: merchantId ?? '' })),
    roles: [...claims.roles],
    platformRoles: [...claims.platformRoles],
  };
}
