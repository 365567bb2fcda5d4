import { status } from '@grpc/grpc-js';
import type { AccountsReason } from '../accounts/index.js';
import type { CallerReason } from '../callers/index.js';
import type { ChallengesReason } from '../challenges/index.js';
import type { CoreReason } from '../core/errors.js';
import type { IdempotencyReason } from '../idempotency/index.js';
import type { OrganizationsReason } from '../organizations/index.js';
import type { PasswordReason } from '../passwords/index.js';
import type { SessionsReason } from '../sessions/index.js';
import type { SignInReason } from '../sign-in/index.js';
import type { ThrottlingReason } from '../throttling/index.js';

/** Reasons that no slice throws: the edge gives them to what is not a `DomainError`. */
export type EdgeReason = 'DEPENDENCY_UNAVAILABLE' | 'INTERNAL';

/** Every reason there is. */
export type Reason =
  | CoreReason
  | CallerReason
  | PasswordReason
  | ThrottlingReason
  | IdempotencyReason
  | ChallengesReason
  | SessionsReason
  | AccountsReason
  | OrganizationsReason
  | SignInReason
  | EdgeReason;

/**
 * The status of every reason. Exhaustive: a slice's new reason does not compile until it stands here,
 * and a test holds the table equal to `ErrorReason` in the contract.
 */
export const statusOf: Readonly<Record<Reason, status>> = {
  FIELD_INVALID: status.INVALID_ARGUMENT,
  USERNAME_INVALID: status.INVALID_ARGUMENT,
  EMAIL_INVALID: status.INVALID_ARGUMENT,
  PHONE_INVALID: status.INVALID_ARGUMENT,
  PASSWORD_TOO_SHORT: status.INVALID_ARGUMENT,
  PASSWORD_TOO_LONG: status.INVALID_ARGUMENT,
  PASSWORD_TOO_COMMON: status.INVALID_ARGUMENT,
  CODE_MALFORMED: status.INVALID_ARGUMENT,
  CODE_INVALID: status.INVALID_ARGUMENT,

  CREDENTIALS_INVALID: status.UNAUTHENTICATED,
  ACCESS_TOKEN_INVALID: status.UNAUTHENTICATED,
  REFRESH_TOKEN_INVALID: status.UNAUTHENTICATED,
  CALLER_UNKNOWN: status.UNAUTHENTICATED,

  SCOPE_NOT_GRANTED: status.PERMISSION_DENIED,
  CALLER_NOT_ALLOWED: status.PERMISSION_DENIED,

  USERNAME_TAKEN: status.ALREADY_EXISTS,
  IDENTIFIER_TAKEN: status.ALREADY_EXISTS,

  CODE_EXPIRED: status.FAILED_PRECONDITION,
  CODE_ATTEMPTS_EXHAUSTED: status.FAILED_PRECONDITION,
  REAUTHENTICATION_REQUIRED: status.FAILED_PRECONDITION,
  LAST_SIGN_IN_METHOD: status.FAILED_PRECONDITION,
  IDENTIFIER_NOT_VERIFIED: status.FAILED_PRECONDITION,

  RESEND_TOO_SOON: status.RESOURCE_EXHAUSTED,
  VERIFICATION_LOCKED: status.RESOURCE_EXHAUSTED,
  SIGN_IN_LOCKED: status.RESOURCE_EXHAUSTED,
  RATE_LIMITED: status.RESOURCE_EXHAUSTED,
  OVERLOADED: status.RESOURCE_EXHAUSTED,

  REQUEST_ID_REUSED: status.ABORTED,
  ETAG_STALE: status.ABORTED,
  DEPENDENCY_UNAVAILABLE: status.UNAVAILABLE,
  INTERNAL: status.INTERNAL,
};

/** Whether a thrown reason is one of the contract; any other is a fault of ours. */
export function isReason(reason: string): reason is Reason {
  return Object.hasOwn(statusOf, reason);
}
