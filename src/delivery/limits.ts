import { LEASE_SECONDS } from './lease.js';

export interface DeliveryLimits {
  /** Sends at once per channel: a provider that hangs holds up its own channel alone. */
  readonly concurrency: number;
  /** Messages that may wait in memory per channel; the rest is left to recovery. */
  readonly queue: number;
  /** For one send. Well below the lease: see `LEASE_SECONDS`. */
  readonly sendTimeoutMs: number;
  /** An anonymous request is resolved so long after its call at the least, and at the most (`held-requests.ts`). */
  readonly requestPauseLeastMs: number;
  readonly requestPauseMostMs: number;
  /** Results written by one statement, and how long the first of them waits for others. */
  readonly batch: number;
  readonly lingerMs: number;
  /** Results that may wait while the database is away. Lost ones mean a message sent twice. */
  readonly results: number;
  /** Pause after a failed write of results. */
  readonly retryMs: number;
  /** For sending what waits and writing its results when the process ends. */
  readonly drainMs: number;
  /** First pause after a failed send; it doubles with each, up to the second. */
  readonly backoffMs: number;
  readonly maxBackoffMs: number;
}

export const DEFAULT_LIMITS: DeliveryLimits = {
  concurrency: 16,
  queue: 2_000,
  sendTimeoutMs: 10_000,
  requestPauseLeastMs: 25,
  requestPauseMostMs: 125,
  batch: 200,
  lingerMs: 50,
  results: 20_000,
  retryMs: 1_000,
  drainMs: 10_000,
  backoffMs: 1_000,
  maxBackoffMs: 60_000,
};

export function checkLimits(limits: DeliveryLimits): DeliveryLimits {
  if (limits.sendTimeoutMs > LEASE_SECONDS * 500) {
    throw new RangeError('a send may take at most half a lease');
  }
  return limits;
}
