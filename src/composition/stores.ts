import { migrations } from '../../migrations/index.js';
import { ensureAuditPartitions } from '../audit/index.js';
import { listCallers } from '../callers/index.js';
import { type Config, ConfigError, type Keys } from '../config/index.js';
import { systemClock } from '../core/clock.js';
import { systemRandom } from '../core/ids.js';
import { deriveKey } from '../core/keys.js';
import type { Lifetime } from '../core/lifetime.js';
import type { Logger } from '../core/logger.js';
import { checkSchema, type Database, migrate, openDatabase } from '../db/index.js';
import { createMetrics, type Metrics } from '../metrics/index.js';
import {
  connectRedis,
  createMemoryThrottle,
  createRedisThrottle,
  resolveLimits,
  type Throttle,
} from '../throttling/index.js';
import { buildVersion } from './build-version.js';
import { CLOSE_MS } from './close-bounds.js';
import type { Common, Overrides } from './overrides.js';
import { tracedThrottle } from './traced-throttle.js';

/** The database does not have the schema of this build; nothing was changed. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError';
}

export type LimitsKind = 'memory' | 'redis' | 'redis away';

export type Stores = Awaited<ReturnType<typeof openStores>>;

/** Closed last. */
export async function openStores(
  config: Config,
  log: Logger,
  overrides: Overrides,
  keys: Keys,
  stack: Lifetime,
) {
  stack.stage('database and Redis', CLOSE_MS.stores);
  const metrics = stack.use(createMetrics({ version: await buildVersion() }));
  const database = overrides.database ?? stack.use(await openConfigured(config, log));
  const common: Common = {
    db: database.db,
    clock: overrides.clock ?? systemClock,
    random: overrides.random ?? systemRandom,
    log,
  };
  await fitSchema(database, log);
  await requireCallers(database.db, config);
  await ensureAuditPartitions(database.db, common.clock, log);
  const throttleKey = deriveKey(keys.data.current.key, 'throttle');
  const throttles = await openThrottles(config, common, throttleKey, metrics, stack);
  metrics.show({ pool: () => database.pool() });
  return { database, common, throttles, metrics };
}

export function openConfigured(config: Config, log: Logger): Promise<Database> {
  const { url, poolSize, prepareStatements } = config.database;
  const location = url === undefined ? { dataDir: config.dataDir } : { url };
  return openDatabase(location, { log, maxConnections: poolSize, prepareStatements });
}

/** Rule 24: where a caller has to be known and none can be, no call could ever be served. */
async function requireCallers(db: Database['db'], config: Config): Promise<void> {
  if (config.anonymousCallers) return;
  const callers = await listCallers(db);
  // A certificate name is of use only where client certificates are asked for.
  const mutual = config.tls?.clientCaFile !== undefined;
  const known = callers.some(
    ({ disabled, keys, certificates }) =>
      !disabled && (keys.length > 0 || (mutual && certificates.length > 0)),
  );
  if (known) return;
  throw new ConfigError([
    {
      name: 'ALLOW_ANONYMOUS_CALLERS',
      wrong: `it is not set, and no caller has a key${mutual ? ' or a certificate name' : ''}, so every call off loopback would be refused`,
      remedy:
        'Register a caller with "countersign caller add NAME", or permit anonymous ones with ALLOW_ANONYMOUS_CALLERS=true',
    },
  ]);
}

/** The embedded database is ours alone and follows us; on PostgreSQL migrating is somebody's decision. */
async function fitSchema({ db, kind }: Database, log: Logger): Promise<void> {
  if (kind === 'embedded') {
    await migrate(db, migrations, { log });
    return;
  }
  const schema = await checkSchema(db, migrations);
  if (!schema.fits) throw new SchemaError(schema.problem);
}

/** `local` counts in this process alone, for RPCs whose budget has no round trip to Redis. */
async function openThrottles(
  config: Config,
  { clock, log }: Common,
  key: Buffer,
  { limiters: observer }: Metrics,
  stack: Lifetime,
): Promise<{ shared: Throttle; local: Throttle; kind: LimitsKind }> {
  const limits = resolveLimits(config.limits, config.codes.cooldownSeconds);
  const local = createMemoryThrottle({ limits, clock, observer });
  if (config.redis === undefined) return { shared: local, local, kind: 'memory' };
  const onError = (error: Error) => log.debug({ error: error.name }, 'redis connection error');
  const redis = stack.use(await connectRedis(config.redis.url, { onError }));
  const answers = redis.client.status === 'ready';
  if (!answers) log.warn({}, 'Redis does not answer: stricter limits in memory until it does');
  const shared = createRedisThrottle({
    redis: redis.client,
    limits,
    clock,
    key,
    keyPrefix: config.redis.keyPrefix,
    observer,
    onInsurance: (active) =>
      log.warn({ active }, active ? 'Redis is away: stricter limits in memory' : 'Redis is back'),
  });
  return { shared: tracedThrottle(shared), local, kind: answers ? 'redis' : 'redis away' };
}
