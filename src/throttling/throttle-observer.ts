import type { LimiterName } from './limits.js';

/** What the throttles tell whoever measures them. Called within calls: must be quick and never throw. */
export interface ThrottleObserver {
  /** One charge of a call; where Redis has shares, the limiter of the share that was charged. */
  decided(limiter: LimiterName, outcome: 'admitted' | 'refused'): void;
  /** Insurance begins to answer in place of Redis, or has not had to for a while. */
  insurance(active: boolean): void;
}
