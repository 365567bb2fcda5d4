import { describe, expect, it, onTestFinished } from 'vitest';
import {
  type Charge,
  connectRedis,
  createRedisThrottle,
  resolveLimits,
  type Throttle,
} from '../../src/throttling/index.js';
import { INSURANCE_QUIET_MS } from '../../src/throttling/redis-throttle.js';
import { admittedOf, movableClock } from '../contracts/throttling.contract.js';
import { hasRedisServer } from '../support/private-redis.js';
import { startPrivateCluster } from '../support/private-redis-cluster.js';
import { startPrivateSentinel } from '../support/private-redis-sentinel.js';

const installed = await hasRedisServer();

it.runIf(process.env['REQUIRE_SERVICES'] === '1')(
  'has a redis-server, since REQUIRE_SERVICES=1',
  () => {
    expect(installed).toBe(true);
  },
);

/** Longest that any call may take, whatever Redis does. */
const QUICK_MS = 400;
const KEYS = Array.from({ length: 12 }, (_, i) => `address ${i}`);

/** Two replicas of the service on one Redis, whatever its form. */
async function replicasOn(url: string) {
  const clock = movableClock();
  const reports: boolean[] = [];
  const errors: Error[] = [];
  const connect = () => connectRedis(url, { onError: (error) => errors.push(error) });
  const connections = await Promise.all([connect(), connect()]);
  const throttles = connections.map(({ client }) =>
    createRedisThrottle({
      redis: client,
      limits: resolveLimits(),
      clock,
      key: Buffer.alloc(32, 7),
      onInsurance: (active) => reports.push(active),
    }),
  );
  const [one, other] = throttles;
  if (one === undefined || other === undefined) throw new Error('two replicas');
  return {
    clock,
    reports,
    errors,
    statuses: () => connections.map(({ client }) => client.status),
    one,
    other,
    /** 2 x 20 at once on each of these keys, one after the other; what came through of each. */
    admitted: async (from: Omit<Charge, 'key'>, keys = KEYS) => {
      const counts: number[] = [];
      for (const key of keys) {
        const both = throttles.map((each) => admittedOf(each, [{ ...from, key }], 20));
        counts.push((await Promise.all(both)).reduce((sum, count) => sum + count));
      }
      return counts;
    },
    [Symbol.asyncDispose]: async () => {
      await Promise.all(connections.map((connection) => connection[Symbol.asyncDispose]()));
    },
  };
}

type Replicas = Awaited<ReturnType<typeof replicasOn>>;

/** Calls one after another until `done`; none may be slow, none may throw. */
async function callUntil(throttle: Throttle, done: Promise<void>): Promise<number> {
  let over = false;
  const ended = done.finally(() => {
    over = true;
  });
  // Awaited when the calls are over; a failure before that is no unhandled one.
  ended.catch(() => undefined);
  let admitted = 0;
  for (let i = 0; !over; i += 1) {
    const start = performance.now();
    const charges: Charge[] = [
      { limiter: 'sendsPerAddressShort', key: 'during', source: 'x' },
      { limiter: 'callsPerSource', key: `during ${i}` },
    ];
    if ((await throttle.tryConsume(charges)).admitted) admitted += 1;
    expect(performance.now() - start).toBeLessThan(QUICK_MS);
    await new Promise((resolve) => {
      setTimeout(resolve, 10);
    });
  }
  await ended;
  return admitted;
}

const strangers = { limiter: 'sendsPerAddressShort', source: 'x' } as const;
const eachIs = (count: number, keys = KEYS) => keys.map(() => count);

async function countsTogether({ one, other, admitted, reports }: Replicas): Promise<void> {
  for (const key of KEYS) one.remember(key, 'home');
  await one.consume([{ limiter: 'emailInAll', key: '' }]);
  expect(await admitted(strangers)).toEqual(eachIs(5));
  expect(await admitted({ ...strangers, source: 'home' })).toEqual(eachIs(5));
  expect(await admitted({ limiter: 'signUpsPerSource' })).toEqual(eachIs(20));
  const receipt = await other.consume([{ limiter: 'smsPerCountry', key: 'VN' }]);
  await receipt.giveBack([]);
  expect(reports).toEqual([]);
}

/** Right after a failover a first call may still find the old connection. */
async function countsTogetherAgain({ one, other, admitted, reports, clock }: Replicas) {
  clock.advance(INSURANCE_QUIET_MS / 1_000);
  await expect
    .poll(
      async () => {
        await Promise.all(
          [one, other].map((each) => each.tryConsume([{ limiter: 'emailInAll', key: '' }])),
        );
        const before = reports.length;
        for (const each of [one, other]) {
          await admittedOf(
            each,
            KEYS.map((key) => ({ limiter: 'callsPerCaller', key })),
            1,
          );
        }
        clock.advance(INSURANCE_QUIET_MS / 1_000);
        return reports.length === before && reports.at(-1) === false;
      },
      { timeout: 8_000, interval: 20 },
    )
    .toBe(true);
  const fresh = KEYS.map((key) => `${key} after`);
  expect(await admitted(strangers, fresh)).toEqual(eachIs(5));
}

// Tried again where it fails: it measures time on a machine that others use too.
describe.skipIf(!installed)('Redis in other forms', { retry: 1 }, () => {
  it('a cluster counts together, and outlives the loss of a primary without opening', async () => {
    const cluster = await startPrivateCluster();
    onTestFinished(() => cluster[Symbol.asyncDispose]());
    const replicas = await replicasOn(cluster.url);
    onTestFinished(() => replicas[Symbol.asyncDispose]());
    await countsTogether(replicas);
    await cluster.killFirst();
    // Of one window: what Redis admitted before and after, and insurance between them.
    expect(await callUntil(replicas.one, cluster.healed())).toBeLessThanOrEqual(5 + 1 + 5);
    expect(replicas.reports[0]).toBe(true);
    await countsTogetherAgain(replicas);
    expect(replicas.errors.length).toBeGreaterThan(0);
  }, 25_000);

  it('behind sentinels it counts together, and follows the primary when it fails over', async () => {
    const sentinel = await startPrivateSentinel();
    onTestFinished(() => sentinel[Symbol.asyncDispose]());
    const replicas = await replicasOn(sentinel.url);
    onTestFinished(() => replicas[Symbol.asyncDispose]());
    await countsTogether(replicas);
    await sentinel.killPrimary();
    expect(await callUntil(replicas.one, sentinel.failedOver())).toBeLessThanOrEqual(5 + 1 + 5);
    expect(replicas.reports[0]).toBe(true);
    await countsTogetherAgain(replicas);
  }, 25_000);

  it('does not hold up a start, nor a close, when nobody is there', async () => {
    const start = performance.now();
    for (const url of [
      'redis+sentinel://127.0.0.1:1,127.0.0.1:2/mymaster',
      'redis+cluster://127.0.0.1:1,127.0.0.1:2',
    ]) {
      const replicas = await replicasOn(url);
      expect(await admittedOf(replicas.one, [{ ...strangers, key: 'a' }], 9)).toBe(1);
      expect(replicas.errors.length).toBeGreaterThan(0);
      // It tries again for ever: `end` is what a client says that has given up.
      expect(replicas.statuses()).not.toContain('end');
      await replicas[Symbol.asyncDispose]();
    }
    expect(performance.now() - start).toBeLessThan(8_000);
  });
});
