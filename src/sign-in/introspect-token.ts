import { DomainError } from '../core/errors.js';
import type { AccessTokenClaims, AccessTokens } from '../sessions/index.js';

export interface IntrospectTokenDeps {
  readonly accessTokens: Pick<AccessTokens, 'verify'>;
}

export type Introspection =
  | { readonly active: true; readonly claims: AccessTokenClaims }
  | { readonly active: false };

/**
 * Tells whether an access token is good now, and what it says. No trip to anywhere: the signature,
 * and the polled set of ended sessions. Whatever is wrong with the token makes it inactive and is
 * no error.
 */
export async function introspectToken(
  deps: IntrospectTokenDeps,
  input: { readonly accessToken: string },
): Promise<Introspection> {
  try {
    return { active: true, claims: await deps.accessTokens.verify(input.accessToken) };
  } catch (error) {
    if (error instanceof DomainError) return { active: false };
    throw error;
  }
}
