/** IntrospectToken: no trip at all, one Ed25519 verification. */
import { createPublicKey } from 'node:crypto';
import type { handleUnaryCall } from '@grpc/grpc-js';
import {
  type IntrospectTokenRequest,
  IntrospectTokenResponse,
} from '../../generated/countersign/v1/auth_service.js';
import { type Claims, type FloorModule, verifiedClaims } from './floor.js';

export const schema: FloorModule['schema'] = [];

export const handlers: FloorModule['handlers'] = () => {
  const jwk = JSON.parse(process.env['PUBLIC_JWK'] ?? '{}');
  const key = createPublicKey({ key: jwk, format: 'jwk' });
  const introspect = (token: string): IntrospectTokenResponse => {
    const claims = verifiedClaims(token, key);
    return claims === undefined
      ? IntrospectTokenResponse.fromPartial({ active: false })
      : toResponse(claims);
  };
  const handler: handleUnaryCall<IntrospectTokenRequest, IntrospectTokenResponse> = (
    call,
    respond,
  ) => respond(null, introspect(call.request.accessToken));
  return { introspectToken: handler };
};

function toResponse(claims: Claims): IntrospectTokenResponse {
  return {
    active: true,
    accountId: claims.sub,
    clientId: claims.client_id,
    sessionId: claims.sid,
    tokenId: claims.jti,
    issuer: claims.iss,
    audience: claims.aud,
    issueTime: new Date(claims.iat * 1_000),
    expireTime: new Date(claims.exp * 1_000),
    authTime: new Date(claims.auth_time * 1_000),
    authenticationMethods: claims.amr,
    scope: { organizationId: claims.org, merchantId: '' },
    grants: claims.grants.map(({ role }) => ({ role, merchantId: '' })),
    roles: claims.roles,
    platformRoles: claims.platform_roles,
  };
}
