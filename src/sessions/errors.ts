import { DomainError } from '../core/errors.js';

export type SessionsReason = 'ACCESS_TOKEN_INVALID' | 'REFRESH_TOKEN_INVALID';

/**
 * One answer for forged, expired, foreign and ended: what is wrong with a token helps only forgers.
 */
export function accessTokenInvalid(): DomainError<SessionsReason> {
  return new DomainError('ACCESS_TOKEN_INVALID', 'the access token is not valid');
}

/** One answer for garbage, another caller's, used up, expired and ended. */
export function refreshTokenInvalid(): DomainError<SessionsReason> {
  return new DomainError('REFRESH_TOKEN_INVALID', 'the refresh token is not valid');
}
