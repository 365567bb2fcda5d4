/**
 * Every failure a caller is meant to understand is a `DomainError`: a reason out of the closed list
 * of `ErrorReason` in the contract, and what helps to react to it. Anything else that is thrown
 * reaches the wire as `INTERNAL` with a fixed text (rule 20).
 *
 * A slice declares its reasons in its own `errors.ts`; `grpc/status.ts` maps the union of them all,
 * so that a new reason does not compile until it has a status.
 */
export interface FieldViolation {
  /** Proto field name, as the caller spells it: `phone_number`. */
  readonly field: string;
  /** One English sentence for the developer who reads the log; never the offending value. */
  readonly description: string;
}

export interface ErrorDetails {
  /** String metadata of `google.rpc.ErrorInfo`; never a secret or an address. */
  readonly metadata?: Readonly<Record<string, string>>;
  /** All field violations at once (`google.rpc.BadRequest`). */
  readonly violations?: readonly FieldViolation[];
  /** Whole seconds until the same call may succeed (`google.rpc.RetryInfo` and `retry-after`). */
  readonly retryAfterSeconds?: number;
  readonly cause?: unknown;
}

export class DomainError<Reason extends string = string> extends Error {
  override readonly name = 'DomainError';
  readonly metadata: Readonly<Record<string, string>>;
  readonly violations: readonly FieldViolation[];
  readonly retryAfterSeconds: number | undefined;

  constructor(
    readonly reason: Reason,
    message: string,
    details: ErrorDetails = {},
  ) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.metadata = details.metadata ?? {};
    this.violations = details.violations ?? [];
    this.retryAfterSeconds = details.retryAfterSeconds;
  }
}

/** Reasons that the core itself can give: a field that does not have the shape its contract asks for. */
export type CoreReason = 'FIELD_INVALID' | 'USERNAME_INVALID' | 'EMAIL_INVALID' | 'PHONE_INVALID';

export function fieldInvalid(field: string, description: string): DomainError<CoreReason> {
  return invalid('FIELD_INVALID', field, description);
}

/** An `INVALID_ARGUMENT` reason about one field. */
export function invalid<Reason extends string>(
  reason: Reason,
  field: string,
  description: string,
): DomainError<Reason> {
  return new DomainError(reason, description, {
    metadata: { field },
    violations: [{ field, description }],
  });
}
