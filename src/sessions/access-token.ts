import { z } from 'zod';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import type { EndedSessions } from './ended-sessions.js';
import { accessTokenInvalid } from './errors.js';
import { type Grant, rolesOf, type SessionScope } from './session.js';
import { createTokenOpener, signToken } from './signed-token.js';
import type { SigningKeys } from './signing-keys.js';
import { createVerifiedTokens, digestOf, type VerifiedToken } from './verified-tokens.js';

/** Longer ones are refused unread. `MAX_GRANTS` of the organizations slice keeps ours below it. */
export const MAX_ACCESS_TOKEN_LENGTH = 4_096;

/** What an access token is to say. */
export interface TokenGrant {
  readonly accountId: string;
  readonly sessionId: string;
  readonly caller: string;
  readonly authTime: Date;
  readonly amr: readonly string[];
  readonly scope: SessionScope;
  readonly grants: readonly Grant[];
  readonly platformRoles: readonly string[];
}

/** What a good access token says. */
export interface AccessTokenClaims extends TokenGrant {
  readonly issuer: string;
  readonly audience: string;
  readonly tokenId: string;
  readonly issuedAt: Date;
  readonly expiresAt: Date;
  readonly roles: readonly string[];
}

export interface AccessTokens {
  readonly ttlSeconds: number;
  issue(grant: TokenGrant): Promise<string>;
  /** Throws ACCESS_TOKEN_INVALID. Reads no row and connects nowhere. */
  verify(token: string): Promise<AccessTokenClaims>;
}

export interface AccessTokensDeps {
  readonly keys: Pick<SigningKeys, 'signer' | 'find'>;
  /** TOKEN_ISSUER. */
  readonly issuer: string;
  /** TOKEN_AUDIENCE. */
  readonly audience: string;
  /** ACCESS_TOKEN_TTL. */
  readonly ttlSeconds: number;
  readonly clock: Clock;
  readonly random: Random;
  readonly ended: Pick<EndedSessions, 'has'>;
}

const claimsSchema = z.object({
  iss: z.string(),
  aud: z.string(),
  sub: z.string(),
  client_id: z.string(),
  sid: z.string(),
  iat: z.number(),
  exp: z.number(),
  nbf: z.number().optional(),
  jti: z.string(),
  auth_time: z.number(),
  amr: z.array(z.string()),
  org: z.string().optional(),
  merchant: z.string().optional(),
  grants: z.array(z.object({ role: z.string(), merchant: z.string().optional() })),
  roles: z.array(z.string()),
  platform_roles: z.array(z.string()),
});

type Claims = z.output<typeof claimsSchema>;

/** Access tokens as RFC 9068 has them: signed JWTs that anybody verifies offline (A6). */
export function createAccessTokens(deps: AccessTokensDeps): AccessTokens {
  const { keys, issuer, audience, ttlSeconds, clock, random, ended } = deps;
  const open = createTokenOpener(keys.find);
  const verified = createVerifiedTokens<Claims>();
  const read = (token: string): VerifiedToken<Claims> | undefined => {
    const opened = open(token);
    const claims = claimsSchema.safeParse(opened?.payload).data;
    if (opened === undefined || claims === undefined) return undefined;
    return { key: opened.key, claims: frozen(claims) };
  };
  /** All that may change about a token, which is judged at each call. */
  const judge = ({ key, claims }: VerifiedToken<Claims>): AccessTokenClaims => {
    if (keys.find(key.kid) !== key) throw accessTokenInvalid();
    if (claims.iss !== issuer || claims.aud !== audience) throw accessTokenInvalid();
    const now = clock.now().getTime() / 1000;
    if (claims.exp <= now || (claims.nbf ?? now) > now) throw accessTokenInvalid();
    const said = readClaims(claims);
    if (ended.has(said.sessionId, said.accountId, said.authTime)) throw accessTokenInvalid();
    return said;
  };
  return {
    ttlSeconds,
    async issue(grant) {
      const issuedAt = Math.floor(clock.now().getTime() / 1000);
      const claims: Claims = {
        iss: issuer,
        aud: audience,
        iat: issuedAt,
        exp: issuedAt + ttlSeconds,
        jti: random.id(),
        ...grantClaims(grant),
      };
      const token = signToken(await keys.signer(), claims);
      if (token.length > MAX_ACCESS_TOKEN_LENGTH)
        throw new Error('an access token became too long');
      return token;
    },
    async verify(token) {
      // Whatever is wrong with it, and it is the caller's text that is wrong, has one answer.
      if (token.length > MAX_ACCESS_TOKEN_LENGTH) throw accessTokenInvalid();
      const digest = digestOf(token);
      const known = verified.find(digest);
      const signed = known ?? read(token);
      if (signed === undefined) throw accessTokenInvalid();
      const said = judge(signed);
      if (known === undefined) verified.add(digest, signed);
      return said;
    },
  };
}

function grantClaims(grant: TokenGrant) {
  const { organizationId, merchantId } = grant.scope;
  return {
    sub: grant.accountId,
    client_id: grant.caller,
    sid: grant.sessionId,
    auth_time: Math.floor(grant.authTime.getTime() / 1000),
    amr: [...grant.amr],
    ...(organizationId === undefined ? {} : { org: organizationId }),
    ...(merchantId === undefined ? {} : { merchant: merchantId }),
    grants: grant.grants.map(({ role, merchantId: merchant }) => ({
      role,
      ...(merchant === undefined ? {} : { merchant }),
    })),
    roles: [...rolesOf(grant.scope, grant.grants)],
    platform_roles: [...grant.platformRoles],
  };
}

/** Whoever verifies the token gets the lists themselves. */
function frozen(claims: Claims): Claims {
  for (const list of [claims.amr, claims.roles, claims.platform_roles]) Object.freeze(list);
  return claims;
}

function readClaims(claims: Claims): AccessTokenClaims {
  const { org, merchant } = claims;
  return {
    issuer: claims.iss,
    audience: claims.aud,
    accountId: claims.sub,
    caller: claims.client_id,
    sessionId: claims.sid,
    tokenId: claims.jti,
    issuedAt: new Date(claims.iat * 1000),
    expiresAt: new Date(claims.exp * 1000),
    authTime: new Date(claims.auth_time * 1000),
    amr: claims.amr,
    scope: {
      ...(org === undefined ? {} : { organizationId: org }),
      ...(merchant === undefined ? {} : { merchantId: merchant }),
    },
    grants: claims.grants.map(({ role, merchant: merchantId }) => ({
      role,
      ...(merchantId === undefined ? {} : { merchantId }),
    })),
    roles: claims.roles,
    platformRoles: claims.platform_roles,
  };
}
