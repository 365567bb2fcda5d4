import type { Cluster, Redis, Result } from 'ioredis';
import type { Clock } from '../core/clock.js';
import { KNOWN_SECONDS, MAX_KNOWN_PER_ADDRESS } from './known-sources.js';
import type { Limiter } from './limits.js';
import { makeRoom } from './make-room.js';

declare module 'ioredis' {
  interface RedisCommander<Context> {
    /** The share charged (1: strangers, 2: known), its count, milliseconds until its window ends. */
    chargeShare(...keysAndArguments: readonly string[]): Result<[1 | 2, number, number], Context>;
    rememberSource(...keysAndArguments: readonly string[]): Result<number, Context>;
  }
}

/**
 * Decides and charges in one go, so that the choice costs no trip of its own. An address' three keys
 * have one hash tag and therefore one slot of a cluster.
 */
const CHARGE = `
local ends = redis.call('zscore', KEYS[3], ARGV[1])
local share = 1
if ends and tonumber(ends) > tonumber(ARGV[2]) then share = 2 end
local counter, window = KEYS[share], ARGV[2 + share]
redis.call('set', counter, 0, 'EX', window, 'NX')
local count = redis.call('incr', counter)
local ttl = redis.call('pttl', counter)
if ttl < 0 then
  redis.call('expire', counter, window)
  ttl = 1000 * window
end
return {share, count, ttl}
`;

/** Ends are the application's time: what an address knows outlives no clock that is moved. */
const REMEMBER = `
redis.call('zadd', KEYS[1], ARGV[2] + 1000 * ARGV[3], ARGV[1])
redis.call('zremrangebyscore', KEYS[1], '-inf', ARGV[2])
redis.call('zremrangebyrank', KEYS[1], 0, -1 - ARGV[4])
return redis.call('expire', KEYS[1], ARGV[3])
`;

/** Sources that wait to be written; beyond that the oldest is forgotten. */
export const MAX_WAITING = 1_000;
/** With one charge at most: a long outage must not make the first call after it a slow one. */
const MAX_AT_ONCE = 100;

export interface RedisSharesDeps {
  readonly redis: Redis | Cluster;
  readonly clock: Clock;
  /** The name in Redis of an address' counter. */
  readonly counterName: (limiter: Limiter, id: string) => string;
  readonly keyPrefix: string;
}

export interface ShareCharge {
  /** Of the share that was charged. */
  readonly limiter: Limiter;
  readonly count: number;
  readonly msLeft: number;
}

/** Which sources an address knows, and the counters that hang on it, in Redis. */
export interface RedisShares {
  /** Rejects where Redis does not answer. */
  charge(strangers: Limiter, known: Limiter, address: string, source: string): Promise<ShareCharge>;
  /**
   * Keeps it for the next `flush`: a call that succeeded costs no trip of its own, and an outage delays
   * it only. A process that ends before loses it.
   */
  remember(address: string, source: string): void;
  /** Writes what waits; right before charges, so that it travels with them. */
  flush(): void;
}

export function createRedisShares(deps: RedisSharesDeps): RedisShares {
  const { redis, clock, counterName, keyPrefix } = deps;
  redis.defineCommand('chargeShare', { numberOfKeys: 3, lua: CHARGE });
  redis.defineCommand('rememberSource', { numberOfKeys: 1, lua: REMEMBER });
  const setName = (address: string) => `${keyPrefix}:known:${address}`;
  const now = () => String(clock.now().getTime());
  const waiting = new Map<string, { address: string; source: string; at: string }>();
  return {
    charge: async (strangers, known, address, source) => {
      const [share, count, msLeft] = await redis.chargeShare(
        counterName(strangers, address),
        counterName(known, address),
        setName(address),
        source,
        now(),
        String(strangers.windowSeconds),
        String(known.windowSeconds),
      );
      return { limiter: share === 2 ? known : strangers, count, msLeft };
    },
    remember: (address, source) => {
      const pair = `${address} ${source}`;
      waiting.delete(pair);
      makeRoom(waiting, MAX_WAITING);
      waiting.set(pair, { address, source, at: now() });
    },
    flush: () => {
      if (waiting.size === 0 || redis.status !== 'ready') return;
      let left = MAX_AT_ONCE;
      for (const [pair, { address, source, at }] of waiting) {
        if (left === 0) return;
        left -= 1;
        waiting.delete(pair);
        const [seconds, most] = [String(KNOWN_SECONDS), String(MAX_KNOWN_PER_ADDRESS)];
        redis.rememberSource(setName(address), source, at, seconds, most).catch(() => undefined);
      }
    },
  };
}
