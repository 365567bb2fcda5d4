import { DomainError } from '../core/errors.js';

/** Everything this slice refuses. A wrong password is not among them: that is sign-in's to say. */
export type PasswordReason =
  | 'PASSWORD_TOO_SHORT'
  | 'PASSWORD_TOO_LONG'
  | 'PASSWORD_TOO_COMMON'
  | 'OVERLOADED';

export function passwordTooShort(field: string, min: number): DomainError<PasswordReason> {
  return refused('PASSWORD_TOO_SHORT', field, `must have at least ${min} characters`, {
    min: String(min),
  });
}

export function passwordTooLong(
  field: string,
  max: number,
  maxBytes: number,
): DomainError<PasswordReason> {
  const description = `must have at most ${max} characters and ${maxBytes} bytes of UTF-8`;
  return refused('PASSWORD_TOO_LONG', field, description, {
    max: String(max),
    max_bytes: String(maxBytes),
  });
}

export function passwordTooCommon(field: string): DomainError<PasswordReason> {
  const description =
    'must not be a commonly used password, the name of this service or one of your own identifiers';
  return refused('PASSWORD_TOO_COMMON', field, description, {});
}

/** The hash lane cannot serve this call in time; nothing was computed. */
export function overloaded(retryAfterSeconds: number): DomainError<PasswordReason> {
  return new DomainError('OVERLOADED', 'too many passwords are being hashed at the moment', {
    retryAfterSeconds,
  });
}

/** Nothing was computed for the call that this was thrown for. */
export function isOverloaded(error: unknown): boolean {
  return error instanceof DomainError && error.reason === 'OVERLOADED';
}

function refused(
  reason: PasswordReason,
  field: string,
  description: string,
  metadata: Readonly<Record<string, string>>,
): DomainError<PasswordReason> {
  return new DomainError(reason, description, {
    metadata: { field, ...metadata },
    violations: [{ field, description }],
  });
}
