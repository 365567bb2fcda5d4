import { DomainError } from '../core/errors.js';

/** Every reason this slice can give. */
export type CallerReason = 'CALLER_UNKNOWN' | 'CALLER_NOT_ALLOWED';

/** No credential where one is needed, or one that no calling service has: told alike. */
export function callerUnknown(): DomainError<CallerReason> {
  return new DomainError(
    'CALLER_UNKNOWN',
    'the calling service showed no key or certificate that is known here',
  );
}

/** The calling service is known, and this group of RPCs was not granted to it. */
export function callerNotAllowed(group: string): DomainError<CallerReason> {
  return new DomainError(
    'CALLER_NOT_ALLOWED',
    'the calling service may not use this group of RPCs',
    {
      metadata: { group },
    },
  );
}
