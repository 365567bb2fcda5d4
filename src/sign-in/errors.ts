import { DomainError } from '../core/errors.js';

export type SignInReason = 'CREDENTIALS_INVALID' | 'SIGN_IN_LOCKED';

/** One answer for unknown, wrong, unverified, blocked and deactivated (A3, rule 8). */
export const credentialsInvalid = () =>
  new DomainError<SignInReason>('CREDENTIALS_INVALID', 'the identifier or the password is wrong');

/** Too many wrong passwords for what was typed, whether or not an account has it. */
export const signInLocked = (waitSeconds: number) =>
  new DomainError<SignInReason>('SIGN_IN_LOCKED', 'too many wrong passwords', {
    retryAfterSeconds: waitSeconds,
  });
