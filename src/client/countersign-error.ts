import { Metadata, type ServiceError, status } from '@grpc/grpc-js';
import { type FieldViolation, type ParsedDetails, parseDetails } from './error-details.js';
import { isKnownReason, type Reason, type ReasonOrUnknown } from './reasons.js';

/** Names of the gRPC status codes. */
export type StatusName = keyof typeof status;

/**
 * A call that failed: at the server, on the way, or because its deadline or its caller ended it.
 */
export class CountersignError extends Error {
  override readonly name = 'CountersignError';
  readonly reason: ReasonOrUnknown;
  /** What the reason adds, e.g. `attempts_left` of `CODE_INVALID`. */
  readonly metadata: Readonly<Record<string, string>>;
  /** Seconds until the same call may succeed. */
  readonly retryAfter: number | undefined;
  /** Every refused field at once. */
  readonly violations: readonly FieldViolation[];
  /** Names the call in the server's logs. */
  readonly requestId: string | undefined;

  constructor(
    /** gRPC status code. */
    readonly code: status,
    /** Name of the RPC, e.g. `SignIn`. */
    readonly rpc: string,
    text: string,
    details: Partial<ParsedDetails> = {},
    cause?: unknown,
  ) {
    const reason = details.reason ?? '';
    const label = reason === '' ? statusNameOf(code) : `${statusNameOf(code)} ${reason}`;
    super(`${rpc}: ${label}: ${text}`, cause === undefined ? undefined : { cause });
    this.reason = isKnownReason(reason) ? reason : 'UNKNOWN';
    this.metadata = details.metadata ?? {};
    this.retryAfter = details.retryAfter;
    this.violations = details.violations ?? [];
    this.requestId = details.requestId;
  }

  /** Name of the status code: `UNAUTHENTICATED`. */
  get codeName(): StatusName {
    return statusNameOf(this.code);
  }
}

/** Whether a caught value is a failure for one of these reasons; narrows it. */
export function isReason<const Wanted extends Reason>(
  error: unknown,
  ...wanted: readonly Wanted[]
): error is CountersignError & { readonly reason: Wanted } {
  return error instanceof CountersignError && wanted.some((reason) => reason === error.reason);
}

/** Turns what grpc-js rejects with into a `CountersignError`; never throws. */
export function toCountersignError(rpc: string, error: unknown): CountersignError {
  if (error instanceof CountersignError) return error;
  if (!isServiceError(error)) {
    return new CountersignError(status.UNKNOWN, rpc, 'the call could not be made', {}, error);
  }
  return new CountersignError(error.code, rpc, error.details, parseDetails(error.metadata), error);
}

export function statusNameOf(code: number): StatusName {
  return isStatusName(status[code]) ? status[code] : 'UNKNOWN';
}

function isStatusName(name: string | undefined): name is StatusName {
  return name !== undefined && Object.hasOwn(status, name);
}

function isServiceError(error: unknown): error is ServiceError {
  return (
    error instanceof Error &&
    'code' in error &&
    typeof error.code === 'number' &&
    'metadata' in error &&
    error.metadata instanceof Metadata
  );
}
