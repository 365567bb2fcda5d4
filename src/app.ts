import { readFile } from 'node:fs/promises';
import { availableParallelism } from 'node:os';
import { migrations } from '../migrations/index.js';
import { createAccessLog, ensureAuditPartitions } from './audit/index.js';
import { createCallerDirectory } from './callers/index.js';
import { loadBudgetSecret } from './challenges/index.js';
import { type Config, loadKeys, threadPoolSize } from './config/index.js';
import { type Clock, systemClock } from './core/clock.js';
import { type Random, systemRandom } from './core/ids.js';
import { deriveKey, deriveKeyRing } from './core/keys.js';
import type { Logger } from './core/logger.js';
import { checkSchema, type Database, migrate, openDatabase } from './db/index.js';
import { createOutbox, createTransport, type Transport } from './delivery/index.js';
import {
  type AuthRpcs,
  accountRpcs,
  createHealth,
  type EdgeDeps,
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
  readonly transports?: { readonly email: Transport; readonly sms: Transport };
  readonly hasher?: PasswordHasher;
}

export interface App extends AsyncDisposable {
  /** `host:port` as bound. */
  readonly grpcAddress: string;
  readonly httpAddress: string;
  /** For the banner: what runs on what. */
  readonly database: string;
  readonly keysMadeIn: string | undefined;
}

/** The database does not have the schema of this build; nothing was changed. */
export class SchemaError extends Error {
  override readonly name = 'SchemaError';
}

/**
 * Puts the service together and starts it: the only place that knows every part. Whatever was opened
 * is closed again, in reverse order, when the app is disposed of or something fails on the way.
 */
export async function createApp(
  config: Config,
  log: Logger,
  overrides: Overrides = {},
): Promise<App> {
  const stack = new Lifetime();
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
  const clock = overrides.clock ?? systemClock;
  const random = overrides.random ?? systemRandom;
  const keys = await loadKeys(config);
  const database = overrides.database ?? stack.use(await openConfigured(config, log));
  const { db } = database;
  await fitSchema(database, log);
  await ensureAuditPartitions(db, clock, log);

  const common = { db, clock, random, log };
  const dataKeys = deriveKeyRing(keys.data, 'destinations');
  const budgetSecret = await loadBudgetSecret(db, { ...common, dataKeys: keys.data });
  const throttles = await openThrottles(
    config,
    common,
    deriveKey(keys.data.current.key, 'throttle'),
    stack,
  );
  const transports = overrides.transports ?? {
    email: createTransport(config.mail, { stdout: process.stdout }),
    sms: createTransport(config.sms, { stdout: process.stdout }),
  };
  const outbox = stack.use(createOutbox({ ...common, dataKeys: keys.data, transports }));
  const audit = stack.use(createAccessLog({ ...common, dataKeys: keys.data }));
  const callers = stack.use(createCallerDirectory(common));
  const signingKeys = stack.use(await createSigningKeys({ ...common, tokenKeys: keys.token }));
  const ended = stack.use(
    await createEndedSessions({ ...common, accessTokenSeconds: config.tokens.accessTtlSeconds }),
  );
  const hasher = overrides.hasher ?? createHasher(config, keys.peppers, common);
  const accessTokens = createAccessTokens({
    ...common,
    keys: signingKeys,
    issuer: config.tokens.issuer,
    audience: config.tokens.audience,
    ttlSeconds: config.tokens.accessTtlSeconds,
    ended,
  });

  const deps = {
    ...common,
    ended,
    hasher,
    outbox,
    dataKeys,
    budgetSecret,
    signingKeys,
    accessTokens,
    throttle: throttles.shared,
    codeKeys: keys.code,
    requestKeys: deriveKeyRing(keys.data, 'request'),
    refreshTokens: createRefreshTokens({ tokenKeys: keys.token, random }),
    defaultRegion: config.defaultRegion,
    ...policiesOf(config),
  };
  const rpcs: AuthRpcs = {
    ...signUpRpcs(deps),
    ...signInRpcs(deps),
    ...accountRpcs(deps),
    ...verificationRpcs(deps),
  };
  const edge: EdgeDeps = {
    ...common,
    audit,
    callers,
    allowAnonymousCallers: config.anonymousCallers,
    verifyAccessToken: (token) => accessTokens.verify(token),
    admit: (charges) => throttles.shared.consume(charges),
    admitLocally: (charges) => throttles.local.consume(charges),
    callTimeoutMs: config.callTimeoutMs,
  };
  const servers = await listen(config, log, { rpcs, edge, jwks: () => signingKeys.jwks() }, stack);
  startWorkers(
    common,
    { outbox, onAnswer: (answers) => servers.health.setServing(answers) },
    stack,
  );
  return {
    grpcAddress: servers.grpc,
    httpAddress: servers.http,
    database: database.describe,
    keysMadeIn: keys.madeIn,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}

interface Common {
  readonly db: Database['db'];
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
}

export function openConfigured(config: Config, log: Logger): Promise<Database> {
  const { url, poolSize } = config.database;
  const location = url === undefined ? { dataDir: config.dataDir } : { url };
  return openDatabase(location, { log, maxConnections: poolSize });
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
    budgetPolicy: { ...budget, growingWaits: false },
    passwordBudget: { ...budget, growingWaits: true },
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
  peppers: Awaited<ReturnType<typeof loadKeys>>['peppers'],
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
): Promise<{ shared: Throttle; local: Throttle }> {
  const limits = resolveLimits(config.limits);
  const local = createMemoryThrottle({ limits, clock, key });
  if (config.redis === undefined) return { shared: local, local };
  const onError = (error: Error) => log.debug({ error: error.name }, 'redis connection error');
  const redis = stack.use(await connectRedis(config.redis.url, { onError }));
  const shared = createRedisThrottle({
    redis: redis.client,
    limits,
    clock,
    key,
    keyPrefix: config.redis.keyPrefix,
    onInsurance: (active) =>
      log.warn({ active }, active ? 'Redis is away: stricter limits in memory' : 'Redis is back'),
  });
  return { shared, local };
}

async function listen(
  config: Config,
  log: Logger,
  parts: { rpcs: AuthRpcs; edge: EdgeDeps; jwks: () => string },
  stack: Lifetime,
) {
  const descriptors = await readDescriptors();
  const health = createHealth(['countersign.v1.AuthService']);
  const http = stack.use(
    await openSideServer({
      address: hostPort(config.http),
      jwks: parts.jwks,
      ready: () => health.serving,
    }),
  );
  const grpc = stack.use(
    await openGrpcServer({
      listenAddress: hostPort(config.listen),
      tls: await readTls(config),
      services: [registerAuthService(parts.rpcs, parts.edge), ...registerReflection(descriptors)],
      health,
      drainMs: config.drainTimeoutMs,
      log,
    }),
  );
  return { grpc: grpc.address, http: http.address, health };
}

async function readTls({ tls }: Config) {
  if (tls === undefined) return undefined;
  return { certificate: await readFile(tls.certFile), key: await readFile(tls.keyFile) };
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

/** Closes what it was given, last opened first; Node 20 has no `AsyncDisposableStack`. */
class Lifetime implements AsyncDisposable {
  private readonly parts: AsyncDisposable[] = [];

  use<T extends AsyncDisposable>(part: T): T {
    this.parts.push(part);
    return part;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (let part = this.parts.pop(); part !== undefined; part = this.parts.pop()) {
      await part[Symbol.asyncDispose]();
    }
  }
}
