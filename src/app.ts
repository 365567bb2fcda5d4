import { availableParallelism } from 'node:os';
import { migrations } from '../migrations/index.js';
import { createAccessLog, ensureAuditPartitions } from './audit/index.js';
import { createCallerDirectory, listCallers } from './callers/index.js';
import { loadBudgetSecret } from './challenges/index.js';
import {
  type Config,
  ConfigError,
  type Keys,
  listening,
  loadKeys,
  openedBy,
  openTransports,
  readTlsFiles,
  threadPoolSize,
} from './config/index.js';
import { type Clock, systemClock } from './core/clock.js';
import { type Random, systemRandom } from './core/ids.js';
import { deriveKey, deriveKeyRing } from './core/keys.js';
import { Lifetime } from './core/lifetime.js';
import type { Logger } from './core/logger.js';
import { checkSchema, type Database, migrate, openDatabase } from './db/index.js';
import { createOutbox, type Transports } from './delivery/index.js';
import {
  type AuthRpcs,
  accountRpcs,
  createHealth,
  type EdgeDeps,
  type Health,
  openGrpcServer,
  readDescriptors,
  registerAuthService,
  registerReflection,
  signInRpcs,
  signUpRpcs,
  verificationRpcs,
} from './grpc/index.js';
import { openSideServer } from './http/index.js';
import {
  createHashLane,
  createPasswordHasher,
  hashConcurrency,
  type PasswordHasher,
} from './passwords/index.js';
import {
  createAccessTokens,
  createEndedSessions,
  createRefreshTokens,
  createSigningKeys,
} from './sessions/index.js';
import {
  connectRedis,
  createMemoryThrottle,
  createRedisThrottle,
  resolveLimits,
  type Throttle,
} from './throttling/index.js';
import {
  createDatabaseWatch,
  createDeliveryWorker,
  createSweepingWorker,
  createSweeps,
} from './workers/index.js';

/** What a test may put in the place of the real thing; configuration never does. */
export interface Overrides {
  readonly clock?: Clock;
  readonly random?: Random;
  readonly database?: Database;
  readonly transports?: Transports;
  readonly hasher?: PasswordHasher;
}

export interface App extends AsyncDisposable {
  /** `host:port` as bound. */
  readonly grpcAddress: string;
  readonly httpAddress: string;
  /** For the banner: what runs on what. */
  readonly database: string;
  readonly limits: 'memory' | 'redis' | 'redis away';
  readonly keysMadeIn: string | undefined;
}

/** The database does not have the schema of this build; nothing was changed. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError';
}

/**
 * What each stage may take to close, in the order of opening; closing goes the other way. Calls get
 * `DRAIN_TIMEOUT` and are cut off then; everything behind them fits into 20 s, which is what operators
 * are told, also when the database answers nothing any more.
 */
const CLOSE_MS = { stores: 5_000, queues: 11_000, background: 2_500, http: 500, calls: 500 };

/**
 * Puts the service together and starts it: the only place that knows every part. Whatever was opened
 * is closed again, in reverse order, when the app is disposed of or something fails on the way.
 */
export async function createApp(
  config: Config,
  log: Logger,
  overrides: Overrides = {},
): Promise<App> {
  const stack = new Lifetime(log);
  try {
    return await start(config, log, overrides, stack);
  } catch (error) {
    await stack[Symbol.asyncDispose]();
    throw error;
  }
}

async function start(
  config: Config,
  log: Logger,
  overrides: Overrides,
  stack: Lifetime,
): Promise<App> {
  const keys = await loadKeys(config);
  const tls = await readTlsFiles(config.tls);
  const transports = overrides.transports ?? openTransports(config);
  const stores = await openStores(config, log, overrides, keys, stack);
  const slices = await openSlices(config, stores, { keys, transports, ...overrides }, stack);
  const health = createHealth(['countersign.v1.AuthService']);
  // Opened before the servers, so that they are closed after them: whatever a run of theirs waits for,
  // health turns and calls are refused at once.
  startWorkers(
    stores.common,
    { outbox: slices.outbox, onAnswer: (answers) => health.setServing(answers) },
    stack,
  );
  const jwks = () => slices.signingKeys.jwks();
  const parts = { rpcs: rpcsOf(slices), edge: edgeOf(config, stores, slices), jwks, health, tls };
  const servers = await listen(config, log, parts, stack);
  return {
    grpcAddress: servers.grpc,
    httpAddress: servers.http,
    database: stores.database.describe,
    limits: stores.throttles.kind,
    keysMadeIn: keys.madeIn,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

/** What every slice is given. */
interface Common {
  readonly db: Database['db'];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

type Stores = Awaited<ReturnType<typeof openStores>>;
type Slices = Awaited<ReturnType<typeof openSlices>>;

/** Closed last. */
async function openStores(
  config: Config,
  log: Logger,
  overrides: Overrides,
  keys: Keys,
  stack: Lifetime,
) {
  stack.stage('database and Redis', CLOSE_MS.stores);
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
  const throttles = await openThrottles(config, common, throttleKey, stack);
  return { database, common, throttles };
}

/** The slices, and the policies that their use-cases follow. */
async function openSlices(
  config: Config,
  { common, throttles }: Stores,
  given: { keys: Keys; transports: Transports; hasher?: PasswordHasher },
  stack: Lifetime,
) {
  const { keys, transports } = given;
  const { issuer, audience, accessTtlSeconds } = config.tokens;
  const sealing = { ...common, dataKeys: keys.data };
  const budgetSecret = await openedBy('DATA_KEYS', loadBudgetSecret(common.db, sealing));
  // Behind the workers and calls, which fill them; before the database, which they are written to.
  stack.stage('messages and audit records', CLOSE_MS.queues);
  const outbox = stack.use(createOutbox({ ...sealing, transports }));
  const audit = stack.use(createAccessLog(sealing));
  stack.stage('background work', CLOSE_MS.background);
  const callers = stack.use(createCallerDirectory(common));
  const signingKeys = stack.use(
    await openedBy('TOKEN_KEYS', createSigningKeys({ ...common, tokenKeys: keys.token })),
  );
  const ended = stack.use(
    await createEndedSessions({ ...common, accessTokenSeconds: accessTtlSeconds }),
  );
  const tokens = { keys: signingKeys, issuer, audience, ttlSeconds: accessTtlSeconds, ended };
  return {
    ...common,
    ...policiesOf(config),
    audit,
    callers,
    ended,
    outbox,
    budgetSecret,
    signingKeys,
    hasher: given.hasher ?? createHasher(config, keys.peppers, common),
    accessTokens: createAccessTokens({ ...common, ...tokens }),
    refreshTokens: createRefreshTokens({ tokenKeys: keys.token, random: common.random }),
    throttle: throttles.shared,
    codeKeys: keys.code,
    dataKeys: deriveKeyRing(keys.data, 'destinations'),
    requestKeys: deriveKeyRing(keys.data, 'request'),
    defaultRegion: config.defaultRegion,
  };
}

function rpcsOf(slices: Slices): AuthRpcs {
  return {
    ...signUpRpcs(slices),
    ...signInRpcs(slices),
    ...accountRpcs(slices),
    ...verificationRpcs(slices),
  };
}

function edgeOf(config: Config, { common, throttles }: Stores, slices: Slices): EdgeDeps {
  return {
    ...common,
    audit: slices.audit,
    callers: slices.callers,
    allowAnonymousCallers: config.anonymousCallers,
    verifyAccessToken: (token) => slices.accessTokens.verify(token),
    admit: (charges) => throttles.shared.consume(charges),
    admitLocally: (charges) => throttles.local.consume(charges),
    callTimeoutMs: config.callTimeoutMs,
  };
}

export function openConfigured(config: Config, log: Logger): Promise<Database> {
  const { url, poolSize } = config.database;
  const location = url === undefined ? { dataDir: config.dataDir } : { url };
  return openDatabase(location, { log, maxConnections: poolSize });
}

/** Rule 24: where calls need a key and nobody has one, no call could ever be served. */
async function requireCallers(db: Database['db'], config: Config): Promise<void> {
  if (config.anonymousCallers) return;
  const callers = await listCallers(db);
  if (callers.some(({ disabled, keys }) => !disabled && keys.length > 0)) return;
  throw new ConfigError([
    {
      name: 'ALLOW_ANONYMOUS_CALLERS',
      wrong: 'it is not set, and no caller has a key, so every call off loopback would be refused',
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

function policiesOf(config: Config) {
  const { codes, guesses, tokens } = config;
  const budget = { maxFailures: guesses.maxFailures, lockoutSeconds: guesses.lockoutSeconds };
  return {
    codePolicy: codes,
    budgetPolicy: { ...budget, growingWaits: false, window: 'last' as const },
    passwordBudget: { ...budget, growingWaits: true, window: 'first' as const },
    proofPolicy: { promote: config.promote, collision: config.proofCollision },
    phonePolicy: config.phone,
    passwordPolicy: { minLength: config.passwords.minLength },
    sessionLifetime: {
      idleSeconds: tokens.refreshIdleSeconds,
      maxSeconds: tokens.refreshMaxSeconds,
    },
  };
}

function createHasher(
  config: Config,
  peppers: Keys['peppers'],
  { clock, random }: Common,
): PasswordHasher {
  const { argon2, hashConcurrency: configured, hashQueueLimit } = config.passwords;
  const cores = configured ?? availableParallelism();
  const lane = createHashLane({
    concurrency: hashConcurrency(cores, threadPoolSize()),
    queueLimit: hashQueueLimit,
    clock,
  });
  return createPasswordHasher({ parameters: argon2, peppers, lane, random });
}

/** `local` counts in this process alone, for RPCs whose budget has no round trip to Redis. */
async function openThrottles(
  config: Config,
  { clock, log }: Common,
  key: Buffer,
  stack: Lifetime,
): Promise<{ shared: Throttle; local: Throttle; kind: App['limits'] }> {
  const limits = resolveLimits(config.limits);
  const local = createMemoryThrottle({ limits, clock, key });
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
    onInsurance: (active) =>
      log.warn({ active }, active ? 'Redis is away: stricter limits in memory' : 'Redis is back'),
  });
  return { shared, local, kind: answers ? 'redis' : 'redis away' };
}

async function listen(
  config: Config,
  log: Logger,
  parts: {
    rpcs: AuthRpcs;
    edge: EdgeDeps;
    jwks: () => string;
    health: Health;
    tls: Awaited<ReturnType<typeof readTlsFiles>>;
  },
  stack: Lifetime,
) {
  const descriptors = await readDescriptors();
  const { health, tls, jwks } = parts;
  stack.stage('HTTP', CLOSE_MS.http);
  const http = stack.use(
    await listening('HTTP_ADDRESS', hostPort(config.http), (address) =>
      openSideServer({ address, jwks, ready: () => health.serving }),
    ),
  );
  stack.stage('calls', config.drainTimeoutMs + CLOSE_MS.calls);
  const grpc = stack.use(
    await listening('LISTEN_ADDRESS', hostPort(config.listen), (listenAddress) =>
      openGrpcServer({
        listenAddress,
        tls,
        services: [registerAuthService(parts.rpcs, parts.edge), ...registerReflection(descriptors)],
        health,
        drainMs: config.drainTimeoutMs,
        callTimeoutMs: config.callTimeoutMs,
        log,
      }),
    ),
  );
  return { grpc: grpc.address, http: http.address };
}

function startWorkers(
  common: Common,
  parts: {
    outbox: Parameters<typeof createDeliveryWorker>[0]['outbox'];
    onAnswer(answers: boolean): void;
  },
  stack: Lifetime,
): void {
  const workers = [
    createDeliveryWorker({ ...common, outbox: parts.outbox }),
    createSweepingWorker({ ...common, sweeps: createSweeps(common.log) }),
    createDatabaseWatch({ ...common, onAnswer: parts.onAnswer }),
  ];
  for (const worker of workers) stack.use(worker).start();
}

function hostPort({ host, port }: Config['listen']): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
