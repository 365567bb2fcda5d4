import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import type { Logger } from '../core/logger.js';
import type { Database } from '../db/index.js';
import type { DeliveryLimits, Transports } from '../delivery/index.js';
import type { Metrics } from '../metrics/index.js';
import type { PasswordHasher } from '../passwords/index.js';

/** What a test may put in the place of the real thing; configuration never does. */
export interface Overrides {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly database?: Database;
  readonly transports?: Transports;
  readonly hasher?: PasswordHasher;
  readonly delivery?: Partial<DeliveryLimits>;
  /** What `/metrics` shows, where this is one of several processes behind the same port. */
  readonly scrape?: (own: Metrics) => Promise<string>;
}

/** What every slice is given. */
export interface Common {
  readonly db: Database['db'];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}
