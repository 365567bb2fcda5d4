import type { Clock } from '../core/clock.js';
import { type Limiter, type LimiterName, type Limits, limiterNames } from './limits.js';
import { type Answer, createThrottle, type Throttle, type ThrottleDeps } from './throttle.js';
import { createWindowCounters, MAX_TRACKED_KEYS, type WindowCounters } from './window-counters.js';

export interface MemoryThrottleDeps extends ThrottleDeps {
  readonly clock: Clock;
  /** Keys remembered per limiter. */
  readonly maxKeys?: number;
}

/** For one process alone: nothing is shared, and a restart forgets. Time is the injected clock's. */
export function createMemoryThrottle(deps: MemoryThrottleDeps): Throttle {
  const { limits, clock, maxKeys = MAX_TRACKED_KEYS } = deps;
  const counters = createCounters(limits, maxKeys);
  const chargeOne = ({ limiter, id }: { limiter: Limiter; id: string }): Answer => {
    const window = counters[limiter.name];
    const { count, msLeft } = window.add(id, clock.now().getTime());
    return {
      waitMs: count > limiter.points ? msLeft : undefined,
      giveBack: async () => window.takeBack(id, clock.now().getTime()),
    };
  };
  return createThrottle(deps, {
    knownWaits: () => [],
    charge: async (tickets) => tickets.map(chargeOne),
  });
}

export function createCounters(
  limits: Limits,
  maxKeys: number,
): Readonly<Record<LimiterName, WindowCounters>> {
  const entries = limiterNames.map((name): [LimiterName, WindowCounters] => [
    name,
    createWindowCounters(limits[name].windowSeconds * 1000, maxKeys),
  ]);
  return Object.fromEntries(entries) as Record<LimiterName, WindowCounters>;
}
