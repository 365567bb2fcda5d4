import { traced } from '../core/tracing.js';
import type { Charge, Throttle } from '../throttling/index.js';

/** A span for what a call asks of Redis, all of it in one round trip. The keys are not in it. */
export function tracedThrottle(throttle: Throttle): Throttle {
  const charge = <T>(charges: readonly Charge[], work: () => Promise<T>): Promise<T> =>
    charges.length === 0 ? work() : traced('limits charge', () => describe(charges), work);
  return {
    ...throttle,
    consume: (charges) => charge(charges, () => throttle.consume(charges)),
    tryConsume: (charges) => charge(charges, () => throttle.tryConsume(charges)),
  };
}

function describe(charges: readonly Charge[]) {
  return {
    'db.system.name': 'redis',
    'countersign.limiters': charges.map(({ limiter }) => limiter),
  };
}
