import { randomUUID } from 'node:crypto';
import { Redis } from 'ioredis';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  type Charge,
  connectRedis,
  createRedisThrottle,
  resolveLimits,
} from '../../src/throttling/index.js';
import { MAX_KNOWN_PER_ADDRESS } from '../../src/throttling/known-sources.js';
import { admittedOf, movableClock, throttlingContract } from '../contracts/throttling.contract.js';

const url = process.env['TEST_REDIS_URL'] ?? '';
const required = process.env['REQUIRE_SERVICES'] === '1';
const key = Buffer.alloc(32, 7);

it.runIf(required)('has a Redis to test against, since REQUIRE_SERVICES=1', () => {
  expect(url, 'TEST_REDIS_URL').not.toBe('');
});

/** Everything under the prefix, seen by a client that adds none itself. */
async function keysUnder(redis: Redis, prefix: string): Promise<string[]> {
  const found: string[] = [];
  for await (const batch of redis.scanStream({ match: `${prefix}*`, count: 1000 })) {
    found.push(...(batch as string[]));
  }
  return found;
}

async function openSpace() {
  const prefix = `test-${randomUUID()}:`;
  const clock = movableClock();
  const connection = await connectRedis(url, { prefix });
  const plain = new Redis(url);
  return {
    prefix,
    clock,
    connection,
    plain,
    /** Moves Redis' time by moving the ends of its windows. */
    elapse: async (seconds: number) => {
      clock.advance(seconds);
      for (const name of await keysUnder(plain, prefix)) {
        const left = (await plain.pttl(name)) - seconds * 1000;
        if (left <= 0) await plain.del(name);
        else await plain.pexpire(name, left);
      }
    },
    dispose: async () => {
      await connection[Symbol.asyncDispose]();
      const left = await keysUnder(plain, prefix);
      if (left.length > 0) await plain.del(...left);
      plain.disconnect();
    },
  };
}

describe.skipIf(url === '')('on Redis', () => {
  throttlingContract('Redis', async () => {
    const { connection, clock, elapse, dispose } = await openSpace();
    const redis = connection.client;
    return {
      open: (overrides, observer) =>
        createRedisThrottle({ redis, limits: resolveLimits(overrides), clock, key, observer }),
      elapse,
      dispose,
    };
  });

  it('sends all charges of a call, and what is to be remembered with them, in one write', async () => {
    const { connection, clock, dispose } = await openSpace();
    onTestFinished(dispose);
    const { client } = connection;
    if (!(client instanceof Redis)) throw new Error('one server was asked for');
    const throttle = createRedisThrottle({ redis: client, limits: resolveLimits({}), clock, key });
    const charges: readonly Charge[] = [
      { limiter: 'anonymousInAll', key: '' },
      { limiter: 'callsPerSource', key: 'a' },
      { limiter: 'sendsPerAddressShort', key: '+84901234567', source: 'a' },
      { limiter: 'sendsPerAddressLong', key: '+84901234567', source: 'a' },
    ];
    // Redis knows the scripts from here on.
    await throttle.consume(charges);
    throttle.remember('+84901234567', 'a');
    await throttle.consume(charges);
    throttle.remember('+84901234567', 'b');
    const [single, several] = [
      vi.spyOn(client.stream, '_write'),
      vi.spyOn(client.stream, '_writev'),
    ];
    await throttle.consume(charges);
    expect(single).not.toHaveBeenCalled();
    expect(several).toHaveBeenCalledOnce();
    expect(several.mock.calls[0]?.[0]).toHaveLength(5);
  });

  it('shares its counts between replicas: 2 x 100 parallel charges, 5 pass (T5)', async () => {
    const space = await openSpace();
    onTestFinished(space.dispose);
    const second = await connectRedis(url, { prefix: space.prefix });
    const replicas = [space.connection, second].map(({ client }) =>
      createRedisThrottle({ redis: client, limits: resolveLimits(), clock: space.clock, key }),
    );
    const charge = { limiter: 'sendsPerAddressShort', key: '+84912345678' } as const;
    const verdicts = await Promise.all(
      Array.from({ length: 100 }, () =>
        replicas.map((replica) => replica.tryConsume([charge])),
      ).flat(),
    );
    expect(verdicts.filter(({ admitted }) => admitted)).toHaveLength(5);
    await second[Symbol.asyncDispose]();
  });

  it('stores no address in clear, and every key ends by itself (rule 22)', async () => {
    const space = await openSpace();
    onTestFinished(space.dispose);
    const throttle = createRedisThrottle({
      redis: space.connection.client,
      limits: resolveLimits(),
      clock: space.clock,
      key,
    });
    const secrets = ['+84912345678', 'an@example.com', '203.0.113.9', 'x'.repeat(100_000)];
    for (const secret of secrets) {
      await throttle.consume([
        { limiter: 'sendsPerAddressShort', key: secret, source: '203.0.113.77' },
        { limiter: 'smsPerCountry', key: secret },
      ]);
      throttle.remember(secret, '203.0.113.77');
    }
    await throttle.consume([{ limiter: 'emailInAll', key: '' }]);
    const stored = await keysUnder(space.plain, space.prefix);
    const known = stored.filter((name) => name.includes(':known:'));
    expect([stored.length, known.length]).toEqual([13, 4]);
    const digests = stored.map((name) => name.split(':').at(-1));
    // Only what hangs on one address has one name: its counter, and the sources that it knows.
    expect(new Set(digests).size).toBe(9);
    for (const name of known) {
      expect(await space.plain.zrange(name, '0', '-1')).toEqual([
        expect.stringMatching(/^[\w-]{12}$/),
      ]);
    }
    for (const name of stored) {
      expect(name.length).toBeLessThan(space.prefix.length + 80);
      for (const secret of secrets) expect(name).not.toContain(secret);
      expect(await space.plain.pttl(name)).toBeGreaterThan(0);
    }
  });

  it('shares between replicas which sources an address knows, the newest eight of each', async () => {
    const space = await openSpace();
    onTestFinished(space.dispose);
    const second = await connectRedis(url, { prefix: space.prefix });
    onTestFinished(() => second[Symbol.asyncDispose]());
    const [one, other] = [space.connection, second].map(({ client }) =>
      createRedisThrottle({ redis: client, limits: resolveLimits(), clock: space.clock, key }),
    );
    if (one === undefined || other === undefined) throw new Error('two replicas');
    const from = (source: string): Charge => ({
      limiter: 'sendsPerAddressLong',
      key: 'an@example.com',
      source,
    });
    for (let i = 0; i < 10; i += 1) {
      space.clock.advance(1);
      one.remember('an@example.com', `source ${i}`);
    }
    // It goes with the next call of that process, and costs none of its own.
    await one.consume([{ limiter: 'emailInAll', key: '' }]);
    expect(await admittedOf(other, [from('stranger')], 30)).toBe(10);
    expect(await admittedOf(other, [from('source 1')], 5)).toBe(0);
    expect(await admittedOf(other, [from('source 2')], 5)).toBe(5);
    expect(await admittedOf(one, [from('source 9')], 30)).toBe(5);
    const [set = ''] = await keysUnder(space.plain, `${space.prefix}throttle:known:`);
    expect(await space.plain.zcard(set)).toBe(MAX_KNOWN_PER_ADDRESS);
  });

  it('remembers a refusal for the source that was refused, not for one that the address knows', async () => {
    const space = await openSpace();
    onTestFinished(space.dispose);
    const throttle = createRedisThrottle({
      redis: space.connection.client,
      limits: resolveLimits(),
      clock: space.clock,
      key,
    });
    const from = (source?: string): Charge => ({
      limiter: 'sendsPerAddressShort',
      key: 'a',
      source,
    });
    throttle.remember('a', 'known');
    expect(await admittedOf(throttle, [from('stranger')], 20)).toBe(5);
    const [counter = ''] = await keysUnder(space.plain, `${space.prefix}throttle:sends`);
    const count = await space.plain.get(counter);
    for (const source of ['stranger', undefined, 'stranger']) {
      expect((await throttle.tryConsume([from(source)])).admitted).toBe(false);
    }
    expect(await space.plain.get(counter)).toBe(count);
    expect((await throttle.tryConsume([from('known')])).admitted).toBe(true);
  });

  it('asks Redis nothing for a key it knows to be exhausted, until the recheck', async () => {
    const space = await openSpace();
    onTestFinished(space.dispose);
    const throttle = createRedisThrottle({
      redis: space.connection.client,
      limits: resolveLimits({ callsPerSource: { points: 1, windowSeconds: 60 } }),
      clock: space.clock,
      key,
    });
    const call = [{ limiter: 'callsPerSource', key: 'a' }] as const;
    await throttle.consume(call);
    expect((await throttle.tryConsume(call)).admitted).toBe(false);
    const [name = ''] = await keysUnder(space.plain, space.prefix);
    expect(await space.plain.get(name)).toBe('2');
    for (let i = 0; i < 20; i += 1) expect((await throttle.tryConsume(call)).admitted).toBe(false);
    expect(await space.plain.get(name)).toBe('2');
    space.clock.advance(3);
    expect((await throttle.tryConsume(call)).admitted).toBe(false);
    expect(await space.plain.get(name)).toBe('3');
  });
});
