import type { Cluster, Redis } from 'ioredis';
import { RateLimiterRedis, RateLimiterRes } from 'rate-limiter-flexible';
import type { Clock } from '../core/clock.js';
import { createBlockCache } from './block-cache.js';
import { InsuranceLimiter } from './insurance-limiter.js';
import { type Limiter, type LimiterName, limiterNames } from './limits.js';
import { createCounters } from './memory-throttle.js';
import {
  type Answer,
  createThrottle,
  type Throttle,
  type ThrottleDeps,
  type Ticket,
} from './throttle.js';
import { MAX_TRACKED_KEYS } from './window-counters.js';

export interface RedisThrottleDeps extends ThrottleDeps {
  /** Made by `connectRedis`: its timeouts are what keeps an answer under 300 ms. */
  readonly redis: Redis | Cluster;
  /** For the insurance and the block cache; windows in Redis run by Redis' own clock. */
  readonly clock: Clock;
  readonly keyPrefix?: string;
  /** Told once when insurance begins to answer, and once when Redis answers again. */
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

interface Reply {
  readonly refused: boolean;
  readonly result: RateLimiterRes;
}

/**
 * Limits shared by all replicas. Commands of one call are written in one tick and pipelined by the
 * socket, each on its own key, so that a Redis cluster serves them too. While Redis is away a bounded
 * in-process limiter with stricter numbers answers (T5): it tightens, it never opens.
 */
export function createRedisThrottle(deps: RedisThrottleDeps): Throttle {
  const { limits, clock } = deps;
  const insured = new WeakSet<RateLimiterRes>();
  const counters = createCounters(limits, MAX_TRACKED_KEYS);
  const limiters = byName((name) =>
    redisLimiter(
      deps,
      limits[name],
      new InsuranceLimiter({
        points: limits[name].insurancePoints,
        counters: counters[name],
        clock,
        onAnswer: (answer) => insured.add(answer),
      }),
    ),
  );
  const blocks = createBlockCache(MAX_BLOCKED_KEYS);
  const reportInsurance = onChange(deps.onInsurance);
  const now = () => clock.now().getTime();

  const judge = ({ limiter, id }: Ticket, { refused, result }: Reply): Answer => {
    const key = blockKey(limiter, id);
    if (insured.has(result)) {
      // The longer of the two: what Redis had shut stays shut for as long as Redis said.
      const known = blocks.lastKnownWait(key, now());
      const own = refused ? result.msBeforeNext : undefined;
      return {
        waitMs: known === undefined ? own : Math.max(known, own ?? 0),
        giveBack: async () => counters[limiter.name].takeBack(id, now()),
      };
    }
    if (refused) blocks.block(key, result.msBeforeNext, now());
    else blocks.lift(key);
    return {
      waitMs: refused ? result.msBeforeNext : undefined,
      giveBack: async () => {
        // Calls in flight inflate the count until they are given back, and may have blocked the key.
        // The last of them sees the true count, so a burst of refused calls leaves no block behind.
        const left = await limiters[limiter.name].reward(id, 1);
        if (!insured.has(left) && left.consumedPoints < limiter.points) blocks.lift(key);
      },
    };
  };

  return createThrottle(deps, {
    knownWaits: (tickets) =>
      tickets.map(({ limiter, id }) => blocks.freshWait(blockKey(limiter, id), now())),
    charge: async (tickets) => {
      const replies = await Promise.all(
        tickets.map(({ limiter, id }) => settle(limiters[limiter.name].consume(id, 1))),
      );
      reportInsurance(replies.some(({ result }) => insured.has(result)));
      return tickets.map((ticket, i) => judge(ticket, replyAt(replies, i)));
    },
  });
}

function redisLimiter(
  { redis, keyPrefix = 'throttle' }: RedisThrottleDeps,
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

/** The library refuses by rejecting with a result that is no Error; only real errors stay rejections. */
async function settle(consumed: Promise<RateLimiterRes>): Promise<Reply> {
  try {
    return { refused: false, result: await consumed };
  } catch (reason) {
    if (reason instanceof RateLimiterRes) return { refused: true, result: reason };
    throw reason;
  }
}

function replyAt(replies: readonly Reply[], i: number): Reply {
  const reply = replies[i];
  if (reply === undefined) throw new Error('a charge without a reply');
  return reply;
}

function blockKey(limiter: Limiter, id: string): string {
  return `${limiter.name}:${id}`;
}

function byName<T>(make: (name: LimiterName) => T): Readonly<Record<LimiterName, T>> {
  const entries = limiterNames.map((name): [LimiterName, T] => [name, make(name)]);
  return Object.fromEntries(entries) as Record<LimiterName, T>;
}

function onChange(report: ((active: boolean) => void) | undefined): (active: boolean) => void {
  let last = false;
  return (active) => {
    if (active === last) return;
    last = active;
    report?.(active);
  };
}
