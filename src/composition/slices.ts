import { availableParallelism } from 'node:os';
import { checkHandles, type HandleCheck } from '../accounts/index.js';
import { createAccessLog } from '../audit/index.js';
import { createCallerDirectory } from '../callers/index.js';
import { loadBudgetSecret } from '../challenges/index.js';
import { type Config, type Keys, openedBy } from '../config/index.js';
import { deriveKeyRing } from '../core/keys.js';
import type { Lifetime } from '../core/lifetime.js';
import type { Logger } from '../core/logger.js';
import { createOutbox, type Transports } from '../delivery/index.js';
import type { Metrics } from '../metrics/index.js';
import {
  createHashLane,
  createPasswordHasher,
  type PasswordHasher,
  startArgon2Threads,
} from '../passwords/index.js';
import {
  createAccessTokens,
  createEndedSessions,
  createRefreshTokens,
  createSigningKeys,
} from '../sessions/index.js';
import { CLOSE_MS } from './close-bounds.js';
import type { Common, Overrides } from './overrides.js';
import { createResolver } from './resolver.js';
import type { Stores } from './stores.js';

export type Slices = Awaited<ReturnType<typeof openSlices>>;

/** The slices, and the policies that their use-cases follow. */
export async function openSlices(
  config: Config,
  { common, throttles, metrics }: Stores,
  given: { keys: Keys; transports: Transports } & Pick<Overrides, 'hasher' | 'delivery'>,
  stack: Lifetime,
) {
  const { keys, transports } = given;
  const { issuer, audience, accessTtlSeconds } = config.tokens;
  const sealing = { ...common, dataKeys: keys.data };
  const budgetSecret = await openedBy('DATA_KEYS', loadBudgetSecret(common.db, sealing));
  // Behind the workers and calls, which fill them; before the database, which they are written to.
  stack.stage('messages and audit records', CLOSE_MS.queues);
  const codes = {
    codeKeys: keys.code,
    dataKeys: deriveKeyRing(keys.data, 'destinations'),
    budgetSecret,
  };
  const handles = await checkHandles(common.db, common.log);
  const policies = policiesOf(config, handles);
  const resolve = createResolver({ ...common, ...codes, ...policies, throttle: throttles.shared });
  const outbox = stack.use(
    createOutbox({
      ...sealing,
      transports,
      resolve,
      observer: metrics.delivery,
      limits: given.delivery ?? {},
    }),
  );
  const audit = stack.use(createAccessLog(sealing));
  stack.stage('background work', CLOSE_MS.background);
  const callers = stack.use(createCallerDirectory(common));
  const signingKeys = stack.use(
    await openedBy('TOKEN_KEYS', createSigningKeys({ ...common, tokenKeys: keys.token })),
  );
  const ended = stack.use(
    await createEndedSessions({ ...common, accessTokenSeconds: accessTtlSeconds }),
  );
  metrics.show({
    outbox: () => outbox.figures(),
    audit: () => audit,
    endedSessions: () => ({ size: ended.size, staleForMs: ended.staleForMs() }),
  });
  const tokens = { keys: signingKeys, issuer, audience, ttlSeconds: accessTtlSeconds, ended };
  return {
    ...common,
    ...policies,
    ...codes,
    handles,
    audit,
    callers,
    ended,
    outbox,
    signingKeys,
    hasher: given.hasher ?? createHasher(config, keys.peppers, common, metrics, stack),
    accessTokens: createAccessTokens({ ...common, ...tokens }),
    refreshTokens: createRefreshTokens({ tokenKeys: keys.token, random: common.random }),
    throttle: throttles.shared,
    requestKeys: deriveKeyRing(keys.data, 'request'),
    clientKeys: deriveKeyRing(keys.data, 'session-client'),
    pageKeys: deriveKeyRing(keys.data, 'page'),
    defaultRegion: config.defaultRegion,
  };
}

function policiesOf(config: Config, { closed }: HandleCheck) {
  const { codes, guesses, tokens } = config;
  const budget = { maxFailures: guesses.maxFailures, lockoutSeconds: guesses.lockoutSeconds };
  return {
    codePolicy: codes,
    budgetPolicy: { ...budget, growingWaits: false, window: 'last' as const },
    passwordBudget: { ...budget, growingWaits: true, window: 'first' as const },
    proofPolicy: { promote: config.promote, collision: config.proofCollision },
    closedHandles: closed,
    phoneSignIn: closed.has('phone') ? ('off' as const) : config.phoneSignIn,
    recovery: config.recovery,
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
  { clock, random, log }: Common,
  metrics: Metrics,
  stack: Lifetime,
): PasswordHasher {
  const { argon2: parameters, hashConcurrency, hashQueueLimit } = config.passwords;
  const concurrency = hashConcurrency ?? coresOf(config.workers, log);
  const lane = createHashLane({
    concurrency,
    queueLimit: hashQueueLimit,
    clock,
    observer: metrics.hashLane,
  });
  metrics.show({ hashLane: () => lane.depth });
  const argon2 = stack.use(startArgon2Threads({ count: concurrency, log }));
  return createPasswordHasher({ parameters, peppers, lane, random, argon2 });
}

/**
 * Cores are divided: every process hashes in a lane of its own. Each must hash one password at a time at
 * least, so that more processes than cores break what rule 15 asks.
 */
function coresOf(workers: number, log: Logger): number {
  const cores = availableParallelism();
  if (workers > cores) {
    log.warn({ workers, cores }, 'more workers than cores: more passwords are hashed at once too');
  }
  return Math.max(1, Math.floor(cores / workers));
}
