/** Why a token was refused; for logs and figures, never for the person who showed it. */
export type TokenInvalidReason =
  | 'TOO_LONG'
  | 'MALFORMED'
  | 'ALGORITHM_NOT_ALLOWED'
  | 'TYPE_NOT_ALLOWED'
  | 'KEY_UNKNOWN'
  | 'SIGNATURE_INVALID'
  | 'EXPIRED'
  | 'NOT_YET_VALID'
  | 'ISSUER_INVALID'
  | 'AUDIENCE_INVALID'
  | 'CLAIMS_INVALID';

/** The token is not one of ours, or not good any more: answer 401. */
export class TokenInvalidError extends Error {
  override readonly name = 'TokenInvalidError';

  // Without a cause: those of the parser quote the token, and this error ends in logs.
  constructor(readonly reason: TokenInvalidReason) {
    super(`the access token is refused: ${reason}`);
  }
}

/**
 * The token could not be judged, because no key set could be had: answer 503, and sign nobody out.
 */
export class KeysUnavailableError extends Error {
  override readonly name = 'KeysUnavailableError';

  constructor(cause?: unknown) {
    super('the key set cannot be fetched', cause === undefined ? undefined : { cause });
  }
}

/** The token is good, but grants no such role there: answer 403. */
export class RoleRequiredError extends Error {
  override readonly name = 'RoleRequiredError';

  constructor(readonly role: string) {
    super(`this needs the role ${role}`);
  }
}
