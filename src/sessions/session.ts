/**
 * A session is one family of refresh tokens: it begins with a sign-in, rotates at every refresh,
 * and ends once and for all.
 *
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> alive: sign-in
 *   alive --> alive: current token (rotated), its predecessor within 30 s (retried)
 *   alive --> ended: sign-out, revoked, an old token (reused)
 *   alive --> expired: idle or absolute lifetime passed
 *   alive --> dead: the account's session_epoch rose, or it is not active any more
 * ```
 */
export interface SessionLifetime {
  /** A refresh token that is not used for so long expires. */
  readonly idleSeconds: number;
  /** However often it is refreshed, a session ends so long after its sign-in. */
  readonly maxSeconds: number;
}

/** One lost answer may be asked for again within this time of the rotation (rule 18). */
export const RETRY_SECONDS = 30;

/** Where a session acts: nowhere, in an organization, or in a merchant of it. */
export interface SessionScope {
  readonly organizationId?: string;
  readonly merchantId?: string;
}

/** A role held in the scope's organization, in all of it or in one merchant. */
export interface Grant {
  readonly role: string;
  readonly merchantId?: string;
}

/** What a sign-in or a refresh gives. */
export interface TokenSet {
  readonly accessToken: string;
  /** Seconds until the access token expires. */
  readonly expiresIn: number;
  readonly refreshToken: string;
  /** Seconds until the refresh token expires unused. */
  readonly refreshExpiresIn: number;
}

/**
 * Names of the roles that hold in the *whole* scope: in an organization those that hold in all of
 * it; in a merchant these, and those held in that merchant.
 */
export function rolesOf(scope: SessionScope, grants: readonly Grant[]): readonly string[] {
  if (scope.organizationId === undefined) return [];
  const valid = grants.filter(
    ({ merchantId }) => merchantId === undefined || merchantId === scope.merchantId,
  );
  return [...new Set(valid.map(({ role }) => role))].sort();
}
