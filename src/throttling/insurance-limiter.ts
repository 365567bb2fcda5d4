import { RateLimiterCompatibleAbstract, RateLimiterRes } from 'rate-limiter-flexible';
import type { Clock } from '../core/clock.js';
import type { WindowCounters } from './window-counters.js';

export interface InsuranceDeps {
  readonly points: number;
  readonly counters: WindowCounters;
  readonly clock: Clock;
  /** Told each answer given in place of Redis, so that the throttle can tell the two apart. */
  readonly onAnswer: (answer: RateLimiterRes) => void;
}

/**
 * What answers while Redis does not: the library's insurance contract over our bounded counters.
 * A class because the library asks `instanceof`; it sets the two mutable fields when it is plugged in.
 */
export class InsuranceLimiter extends RateLimiterCompatibleAbstract {
  override readonly keyPrefix = '';
  override blockDuration = 0;
  override execEvenly = false;

  constructor(private readonly deps: InsuranceDeps) {
    super();
  }

  /** Resolves or rejects with a `RateLimiterRes`, as the library's limiters do. */
  override consume(id: string | number): Promise<RateLimiterRes> {
    const { points, counters, clock, onAnswer } = this.deps;
    const { count, msLeft } = counters.add(String(id), clock.now().getTime());
    const answer = new RateLimiterRes(Math.max(0, points - count), msLeft, count, count === 1);
    onAnswer(answer);
    return count > points ? Promise.reject(answer) : Promise.resolve(answer);
  }

  /**
   * Does nothing: it is called only for a charge that Redis took and can no longer give back.
   * Taking it off these counters instead would open them by a charge they never had.
   */
  override reward(): Promise<RateLimiterRes> {
    const answer = new RateLimiterRes(0, 0, 0, false);
    this.deps.onAnswer(answer);
    return Promise.resolve(answer);
  }
}
