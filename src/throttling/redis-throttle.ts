import { Cluster, type Redis } from 'ioredis';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import type { Clock } from '../core/clock.js';
import { type BlockCache, createBlockCache } from './block-cache.js';
import { InsuranceLimiter } from './insurance-limiter.js';
import { type Limiter, type LimiterName, limiterNames } from './limits.js';
import { createCounters } from './memory-throttle.js';
import { createRedisShares, type ShareCharge } from './redis-shares.js';
import {
  type Answer,
  createThrottle,
  type Throttle,
  type ThrottleDeps,
  type Ticket,
  type Wait,
} from './throttle.js';
import { MAX_TRACKED_KEYS } from './window-counters.js';

export interface RedisThrottleDeps extends ThrottleDeps {
  /** Required: what is counted leaves the process. */
  readonly key: Buffer;
  /** Made by `connectRedis`: its timeouts are what keeps an answer under 300 ms. */
  readonly redis: Redis | Cluster;
  /** For the insurance and the block cache; windows in Redis run by Redis' own clock. */
  readonly clock: Clock;
  readonly keyPrefix?: string;
  /** Told once when insurance begins to answer, and once when it has not had to for a while. */
  readonly onInsurance?: (active: boolean) => void;
}

/**
 * The library's script, plus a give-back (a negative amount) that never makes a counter appear or go
 * below zero: after a flush or the end of a window it would otherwise leave room for one call more.
 */
const SCRIPT = `
if tonumber(ARGV[1]) < 0 then
  local held = tonumber(redis.call('get', KEYS[1]) or '0')
  if held <= 0 then return {0, 0} end
  return {redis.call('incrby', KEYS[1], ARGV[1]), redis.call('pttl', KEYS[1])}
end
redis.call('set', KEYS[1], 0, 'EX', ARGV[2], 'NX')
local consumed = redis.call('incrby', KEYS[1], ARGV[1])
local ttl = redis.call('pttl', KEYS[1])
if ttl < 0 then
  redis.call('expire', KEYS[1], ARGV[2])
  ttl = 1000 * ARGV[2]
end
return {consumed, ttl}
`;

const MAX_BLOCKED_KEYS = 10_000;
const DEFAULT_PREFIX = 'throttle';

/** Insurance is called off when it had not to answer for this long: one node of several may be away. */
export const INSURANCE_QUIET_MS = 5_000;

interface Reply {
  /** The one that was charged. */
  readonly limiter: Limiter;
  readonly refused: boolean;
  readonly result: RateLimiterRes;
}

/**
 * Limits shared by all replicas. Commands of one call are written in one tick and pipelined by the
 * socket, each on the keys of one slot, so that a Redis cluster serves them too. While Redis is away a
 * bounded in-process limiter with stricter numbers answers (T5): it tightens, it never opens.
 */
export function createRedisThrottle(deps: RedisThrottleDeps): Throttle {
  const { limits, clock } = deps;
  const insured = new WeakSet<RateLimiterRes>();
  const counters = createCounters(limits, MAX_TRACKED_KEYS);
  const now = () => clock.now().getTime();
  const insurance = byName(
    (name) =>
      new InsuranceLimiter({
        points: limits[name].insurancePoints,
        counters: counters[name],
        clock,
        onAnswer: (answer) => insured.add(answer),
      }),
  );
  const limiters = byName((name) => redisLimiter(deps, limits[name], insurance[name]));
  const shares = createRedisShares({
    redis: deps.redis,
    clock,
    keyPrefix: deps.keyPrefix ?? DEFAULT_PREFIX,
    counterName: (limiter, id) => limiters[limiter.name].getKey(id),
  });
  const blocks = createBlockCache(MAX_BLOCKED_KEYS);
  const reportInsurance = insuranceReporter(deps, now);

  const charge = async ({ limiter, id, known }: Ticket): Promise<Reply> => {
    if (known === undefined) return settle(limiter, limiters[limiter.name].consume(id, 1));
    try {
      return replyOf(await shares.charge(limiter, known.limiter, id, known.source));
    } catch {
      // Who is known cannot be told now, so all are strangers.
      return settle(limiter, insurance[limiter.name].consume(id));
    }
  };

  const judge = (ticket: Ticket, { limiter, refused, result }: Reply): Answer => {
    const { id } = ticket;
    const waitMs = refused ? result.msBeforeNext : undefined;
    if (insured.has(result)) {
      // The longest: what Redis had shut, for strangers or this source, stays shut as long as it said.
      const shut = sharesOf(ticket).flatMap((share) => blockKeys(share, ticket));
      const waits = shut.map((key) => blocks.lastKnownWait(key, now()) ?? 0);
      const longest = Math.max(waitMs ?? 0, ...waits);
      return {
        limiter,
        waitMs: refused || longest > 0 ? longest : undefined,
        giveBack: async () => counters[limiter.name].takeBack(id, now()),
      };
    }
    const keys = blockKeys(limiter, ticket);
    const lift = () => keys.forEach(blocks.lift);
    if (waitMs === undefined) lift();
    else for (const key of keys) blocks.block(key, waitMs, now());
    return {
      limiter,
      waitMs,
      giveBack: async () => {
        // Calls in flight inflate the count until they are given back, and may have blocked the key.
        // The last of them sees the true count, so a burst of refused calls leaves no block behind.
        const left = await limiters[limiter.name].reward(id, 1);
        if (!insured.has(left) && left.consumedPoints < limiter.points) lift();
      },
    };
  };

  return createThrottle(deps, {
    knownWaits: (tickets) => tickets.flatMap((ticket) => freshWaits(blocks, ticket, now())),
    charge: async (tickets) => {
      const replies = await Promise.all(
        inOneWrite(deps.redis, () => {
          shares.flush();
          return tickets.map(charge);
        }),
      );
      reportInsurance(replies.some(({ result }) => insured.has(result)));
      return tickets.map((ticket, i) => judge(ticket, replyAt(replies, i)));
    },
    remember: shares.remember,
  });
}

/**
 * Under which a refusal is remembered. Of a limiter with shares with the source: another source may be
 * one that the address knows, and must not be refused by what this one was told. What strangers were
 * told counts for all without Redis; what a known source was told never counts for strangers.
 */
function blockKeys(limiter: Limiter, { id, known }: Ticket): readonly string[] {
  const key = `${limiter.name}:${id}`;
  if (known === undefined) return [key];
  const own = `${key}:${known.source}`;
  return limiter === known.limiter ? [own] : [key, own];
}

/** The limiters that may count a ticket. */
function sharesOf({ limiter, known }: Ticket): readonly Limiter[] {
  return known === undefined ? [limiter] : [limiter, known.limiter];
}

function freshWaits(blocks: BlockCache, ticket: Ticket, nowMs: number): readonly Wait[] {
  return sharesOf(ticket).flatMap((limiter) => {
    const waitMs = blocks.freshWait(blockKeys(limiter, ticket).at(-1) ?? '', nowMs);
    return waitMs === undefined ? [] : [{ limiter, waitMs }];
  });
}

function redisLimiter(
  { redis, keyPrefix = DEFAULT_PREFIX }: RedisThrottleDeps,
  limiter: Limiter,
  insuranceLimiter: InsuranceLimiter,
): RateLimiterRedis {
  return new RateLimiterRedis({
    storeClient: redis,
    points: limiter.points,
    duration: limiter.windowSeconds,
    // The window is part of the name: a counter never outlives the configuration that sized it.
    keyPrefix: `${keyPrefix}:${limiter.name}:${limiter.windowSeconds}`,
    customIncrTtlLuaScript: SCRIPT,
    rejectIfRedisNotReady: true,
    insuranceLimiter,
  });
}

/**
 * Commands that are sent together leave together: each write of its own would cost a system call here and a
 * waking-up there. A client that is not connected has no socket, and refuses what it is asked to send.
 */
function inOneWrite<T>(redis: Redis | Cluster, send: () => T): T {
  const clients = redis instanceof Cluster ? redis.nodes('master') : [redis];
  const sockets = clients.flatMap(({ stream }: { stream?: Redis['stream'] }) => stream ?? []);
  for (const socket of sockets) socket.cork();
  try {
    return send();
  } finally {
    for (const socket of sockets) socket.uncork();
  }
}

/** The library refuses by rejecting with a result that is no Error; only real errors stay rejections. */
async function settle(limiter: Limiter, consumed: Promise<RateLimiterRes>): Promise<Reply> {
  try {
    return { limiter, refused: false, result: await consumed };
  } catch (reason) {
    if (reason instanceof RateLimiterRes) return { limiter, refused: true, result: reason };
    throw reason;
  }
}

function replyOf({ limiter, count, msLeft }: ShareCharge): Reply {
  const room = Math.max(0, limiter.points - count);
  const result = new RateLimiterRes(room, msLeft, count, count === 1);
  return { limiter, refused: count > limiter.points, result };
}

function replyAt(replies: readonly Reply[], i: number): Reply {
  const reply = replies[i];
  if (reply === undefined) throw new Error('a charge without a reply');
  return reply;
}

function byName<T>(make: (name: LimiterName) => T): Readonly<Record<LimiterName, T>> {
  const entries = limiterNames.map((name): [LimiterName, T] => [name, make(name)]);
  return Object.fromEntries(entries) as Record<LimiterName, T>;
}

/** Says when insurance begins and, a while after it answered last, that it is over. */
function insuranceReporter(
  { onInsurance, observer }: Pick<RedisThrottleDeps, 'onInsurance' | 'observer'>,
  nowMs: () => number,
): (insured: boolean) => void {
  let lastMs: number | undefined;
  const report = (active: boolean): void => {
    onInsurance?.(active);
    observer?.insurance(active);
  };
  return (insured) => {
    const before = lastMs;
    if (insured) {
      lastMs = nowMs();
      if (before === undefined) report(true);
    } else if (before !== undefined && Math.abs(nowMs() - before) >= INSURANCE_QUIET_MS) {
      lastMs = undefined;
      report(false);
    }
  };
}
