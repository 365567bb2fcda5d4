import { DomainError, invalid } from '../core/errors.js';

export type ChallengesReason =
  | 'CODE_MALFORMED'
  | 'CODE_INVALID'
  | 'CODE_EXPIRED'
  | 'CODE_ATTEMPTS_EXHAUSTED'
  | 'RESEND_TOO_SOON'
  | 'VERIFICATION_LOCKED';

/** Not a code by its shape: nothing was compared and nothing counted. */
export const codeMalformed = (field: string, description: string) =>
  invalid<ChallengesReason>('CODE_MALFORMED', field, description);

/** A wrong code, counted. */
export const codeInvalid = (field: string, attemptsLeft: number) =>
  new DomainError<ChallengesReason>('CODE_INVALID', 'the code is wrong', {
    metadata: { field, attempts_left: String(attemptsLeft) },
    violations: [{ field, description: 'the code is wrong' }],
  });

/** No live code: unknown, another's, used, superseded or expired. One answer for all of them. */
export const codeExpired = () =>
  new DomainError<ChallengesReason>('CODE_EXPIRED', 'the code has expired; ask for another');

/** The code was sent before the last lock. */
export const codeAttemptsExhausted = () =>
  new DomainError<ChallengesReason>(
    'CODE_ATTEMPTS_EXHAUSTED',
    'the code died with too many wrong tries; ask for another',
  );

export const resendTooSoon = (waitSeconds: number) =>
  new DomainError<ChallengesReason>('RESEND_TOO_SOON', 'a code was sent a moment ago', {
    retryAfterSeconds: waitSeconds,
  });

export const verificationLocked = (waitSeconds: number) =>
  new DomainError<ChallengesReason>('VERIFICATION_LOCKED', 'too many wrong codes', {
    retryAfterSeconds: waitSeconds,
  });
