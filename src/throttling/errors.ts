import { DomainError } from '../core/errors.js';

/** Every reason this slice can give. */
export type ThrottlingReason = 'RATE_LIMITED';

/**
 * A soft limit is exhausted. The answer carries the wait and nothing else: which limiter it was would
 * tell a stranger what others did (whether an address was written to, say).
 */
export function rateLimited(retryAfterSeconds: number): DomainError<ThrottlingReason> {
  return new DomainError('RATE_LIMITED', 'too many requests; wait before trying again', {
    retryAfterSeconds,
  });
}
