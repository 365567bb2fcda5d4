import type { Clock } from '../core/clock.js';
import { createKnownSources } from './known-sources.js';
import { type LimiterName, type Limits, limiterNames } from './limits.js';
import {
  type Answer,
  createThrottle,
  type Throttle,
  type ThrottleDeps,
  type Ticket,
} from './throttle.js';
import { createWindowCounters, MAX_TRACKED_KEYS, type WindowCounters } from './window-counters.js';

export interface MemoryThrottleDeps extends Omit<ThrottleDeps, 'key'> {
  readonly clock: Clock;
  /** Keys remembered per limiter, and addresses that know a source. */
  readonly maxKeys?: number;
}

/** For one process alone: nothing is shared, and a restart forgets. Time is the injected clock's. */
export function createMemoryThrottle(deps: MemoryThrottleDeps): Throttle {
  const { limits, clock, maxKeys = MAX_TRACKED_KEYS } = deps;
  const counters = createCounters(limits, maxKeys);
  const sources = createKnownSources(maxKeys);
  const now = () => clock.now().getTime();
  const chargeOne = ({ limiter: strangers, id, known }: Ticket): Answer => {
    const isKnown = known !== undefined && sources.has(id, known.source, now());
    const limiter = isKnown ? known.limiter : strangers;
    const window = counters[limiter.name];
    const { count, msLeft } = window.add(id, now());
    return {
      limiter,
      waitMs: count > limiter.points ? msLeft : undefined,
      giveBack: async () => window.takeBack(id, now()),
    };
  };
  return createThrottle(deps, {
    knownWaits: () => [],
    charge: async (tickets) => tickets.map(chargeOne),
    remember: (address, source) => sources.add(address, source, now()),
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
