import type { Random } from '../core/ids.js';
import type { KeyRing } from '../core/keys.js';
import type { AccessTokens, TokenGrant } from './access-token.js';
import type { RefreshTokens } from './refresh-token.js';
import type { SessionLifetime, TokenSet } from './session.js';

/** What flows that start or continue a session need. */
export interface SessionDeps {
  readonly random: Random;
  readonly refreshTokens: RefreshTokens;
  readonly accessTokens: AccessTokens;
  readonly sessionLifetime: SessionLifetime;
  /** Seal who a session was opened for. */
  readonly clientKeys: KeyRing;
}

export interface TokenSetInput extends TokenGrant {
  readonly refreshToken: string;
  /** Of a session that has just begun, when absent. */
  readonly refreshExpiresIn?: number;
}

/** Signs the access token that goes with a refresh token, once the session's row stands. */
export async function tokenSet(
  deps: Pick<SessionDeps, 'accessTokens' | 'sessionLifetime'>,
  { refreshToken, refreshExpiresIn, ...grant }: TokenSetInput,
): Promise<TokenSet> {
  const { accessTokens, sessionLifetime: lifetime } = deps;
  return {
    accessToken: await accessTokens.issue(grant),
    expiresIn: accessTokens.ttlSeconds,
    refreshToken,
    refreshExpiresIn: refreshExpiresIn ?? Math.min(lifetime.idleSeconds, lifetime.maxSeconds),
  };
}
