import { CountersignError, type StatusName } from './countersign-error.js';
import type { Reason } from './reasons.js';
import { KeysUnavailableError, RoleRequiredError, TokenInvalidError } from './token-errors.js';

/** gRPC status → HTTP status, as `google/rpc/code.proto` has it. */
export const HTTP_STATUS_BY_CODE: Readonly<Record<StatusName, number>> = {
  OK: 200,
  CANCELLED: 499,
  UNKNOWN: 500,
  INVALID_ARGUMENT: 400,
  DEADLINE_EXCEEDED: 504,
  NOT_FOUND: 404,
  ALREADY_EXISTS: 409,
  PERMISSION_DENIED: 403,
  RESOURCE_EXHAUSTED: 429,
  FAILED_PRECONDITION: 400,
  ABORTED: 409,
  OUT_OF_RANGE: 400,
  UNIMPLEMENTED: 501,
  INTERNAL: 500,
  UNAVAILABLE: 503,
  DATA_LOSS: 500,
  UNAUTHENTICATED: 401,
};

/**
 * Reasons that stand above their code. Both are about the calling service's own credential: passed
 * on as 401 or 403, they would tell a browser that its person is signed out.
 */
export const HTTP_STATUS_BY_REASON: Readonly<Partial<Record<Reason, number>>> = {
  CALLER_UNKNOWN: 500,
  CALLER_NOT_ALLOWED: 500,
};

/** The status a BFF answers with. What is no failure of this package is the BFF's own: 500. */
export function httpStatusOf(error: unknown): number {
  if (error instanceof TokenInvalidError) return HTTP_STATUS_BY_CODE.UNAUTHENTICATED;
  if (error instanceof RoleRequiredError) return HTTP_STATUS_BY_CODE.PERMISSION_DENIED;
  if (error instanceof KeysUnavailableError) return HTTP_STATUS_BY_CODE.UNAVAILABLE;
  if (!(error instanceof CountersignError)) return HTTP_STATUS_BY_CODE.INTERNAL;
  const byReason = error.reason === 'UNKNOWN' ? undefined : HTTP_STATUS_BY_REASON[error.reason];
  return byReason ?? HTTP_STATUS_BY_CODE[error.codeName];
}

/**
 * The headers that belong to it: `retry-after`, and `www-authenticate` for a bad access token (RFC
 * 6750).
 */
export function httpHeadersOf(error: unknown): Record<string, string> {
  const headers: Record<string, string> = {};
  if (error instanceof CountersignError && error.retryAfter !== undefined) {
    headers['retry-after'] = String(error.retryAfter);
  }
  if (
    error instanceof TokenInvalidError ||
    (error instanceof CountersignError && error.reason === 'ACCESS_TOKEN_INVALID')
  ) {
    headers['www-authenticate'] = 'Bearer error="invalid_token"';
  }
  return headers;
}
