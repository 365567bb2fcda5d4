import { performance } from 'node:perf_hooks';
import type { Clock } from '../core/clock.js';

/**
 * For so long a row belongs to the process that inserted or took it. Whoever holds it sends only
 * while the rest of the lease is longer than a send may take, so that two never send the same one.
 */
export const LEASE_SECONDS = 30;

/** Milliseconds that no correction of the system's time moves; tests move it with their clock. */
export function monotonicMs(clock: Clock): number {
  return performance.now() + clock.offsetMs;
}
