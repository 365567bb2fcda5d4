import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CountersignError } from '../../src/client/index.js';
import { describePostgres, type TestDatabase } from '../support/databases.js';
import { type Signup, signUp, unique, wrongCode } from '../support/people.js';
import { hasRedisServer, type PrivateRedis, startPrivateRedis } from '../support/private-redis.js';
import { anotherPool, startTestApp, type TestApp } from '../support/test-app.js';
import { eventually } from './eventually.js';

const installed = await hasRedisServer();

it.runIf(process.env['REQUIRE_SERVICES'] === '1')(
  'has a redis-server, since REQUIRE_SERVICES=1',
  () => {
    expect(installed).toBe(true);
  },
);

const GUESSES = 200;
/** Sign-ins beside them. Of different people: an account is judged five times at once, and no more. */
const OTHERS = 10;
/** Sign-ups per hour in all; each of the two servers insures a quarter of it. */
const SIGN_UPS = 40;
const INSURED = SIGN_UPS / 4;

/** The reason that a call failed for, or `OK`. */
function outcome(call: Promise<unknown>): Promise<string> {
  return call.then(
    () => 'OK',
    (error: unknown) => (error instanceof CountersignError ? error.reason : 'NOT_A_CALL_ERROR'),
  );
}

function count(outcomes: readonly string[], wanted: string): number {
  return outcomes.filter((one) => one === wanted).length;
}

const incidents: readonly [string, (redis: PrivateRedis) => Promise<void>][] = [
  ['flushed', (redis) => redis.flush()],
  ['restarted', (redis) => redis.restart()],
  ['stopped', (redis) => redis.stop()],
];

describePostgres('two servers whose Redis is taken away in mid-run', (database) => {
  let redis: PrivateRedis;
  let pool: TestDatabase;
  let one: TestApp;
  let other: TestApp;
  let bystanders: readonly Signup[];

  beforeAll(async () => {
    if (!installed) return;
    redis = await startPrivateRedis();
    const env = { REDIS_URL: redis.url, LIMIT_SIGN_UPS_IN_ALL: `${SIGN_UPS}/1h` };
    one = await startTestApp({ env, database: database() });
    pool = await anotherPool(database().url);
    const { dataDir, clock, mailbox } = one;
    other = await startTestApp({ env, database: pool, dataDir, clock, mailbox });
    bystanders = await Promise.all(Array.from({ length: OTHERS }, () => signUp(one)));
  });
  afterAll(async () => {
    await other?.[Symbol.asyncDispose]();
    await one?.[Symbol.asyncDispose]();
    await pool?.[Symbol.asyncDispose]();
    await redis?.[Symbol.asyncDispose]();
  });

  const servers = (): readonly TestApp[] => [one, other];

  it.skipIf(!installed).each(incidents)(
    'judges exactly 5 of 200 parallel wrong guesses when it is %s (rules 2, 3; T5)',
    async (_name, strike) => {
      const phoneNumber = unique.phone();
      const person = await signUp(one, { phoneNumber });
      await one.mailbox.waitFor(({ to }) => to === phoneNumber);
      const right = one.mailbox.codeFor(phoneNumber);
      let answered = 0;
      let struck: Promise<void> | undefined;
      let answeredBefore = 0;
      const guess = async (index: number): Promise<string> => {
        const { auth } = servers()[index % 2] ?? one;
        const call = auth.confirmPhoneNumber(
          { code: wrongCode(right), challengeId: person.challengeIds[0] },
          { accessToken: person.accessToken },
        );
        const told = await outcome(call);
        answered += 1;
        if (answered === 3) {
          answeredBefore = answered;
          struck = strike(redis);
        }
        return told;
      };
      // Beside them, calls whose limits are counted in Redis.
      const signIn = ({ username, password }: Signup, index: number): Promise<string> => {
        const { auth } = servers()[index % 2] ?? one;
        return outcome(auth.signIn({ identifier: username, password }));
      };
      const guesses = Array.from({ length: GUESSES }, (_, index) => guess(index));
      const others = bystanders.map((bystander, index) => signIn(bystander, index));
      const told = await Promise.all(guesses);
      expect(answeredBefore).toBeLessThan(GUESSES);
      await struck;

      expect(count(told, 'CODE_INVALID')).toBe(5);
      expect(count(told, 'VERIFICATION_LOCKED')).toBe(GUESSES - 5);
      expect(await Promise.all(others)).toEqual(Array.from({ length: OTHERS }, () => 'OK'));
      // Locked means locked, for the right code too and on either server.
      for (const { auth } of servers()) {
        const late = auth.confirmPhoneNumber({ code: right }, { accessToken: person.accessToken });
        expect(await outcome(late)).toBe('VERIFICATION_LOCKED');
      }
      const { rows } = await sql<{ failures: number }>`
        select failures from guess_budgets
        where channel = 'sms' and subject = uuid_send(${person.accountId}::uuid)`.execute(one.db);
      expect(rows.map(({ failures }) => failures)).toEqual([5]);
    },
  );

  it.skipIf(!installed)(
    'tightens the soft limits while it is gone, and not after (T5)',
    async () => {
      await redis.stop();
      for (const { auth } of servers()) {
        const told: string[] = [];
        for (let tries = 0; tries < INSURED + 5; tries += 1) {
          told.push(
            await outcome(
              auth.signUp({ username: unique.username(), password: 'a long secret of mine' }),
            ),
          );
        }
        expect(new Set(told)).toEqual(new Set(['OK', 'RATE_LIMITED']));
        expect(count(told, 'OK')).toBeLessThanOrEqual(INSURED);
        expect(told.slice(INSURED)).not.toContain('OK');
      }
      // Back, and empty: the whole size is there again, shared by both.
      await redis.restart();
      const again = (): Promise<string> =>
        outcome(
          one.auth.signUp({ username: unique.username(), password: 'a long secret of mine' }),
        );
      await eventually('a sign-up through Redis', async () => (await again()) === 'OK');
      const told: string[] = [];
      for (let tries = 0; tries < SIGN_UPS; tries += 1) told.push(await again());
      expect(count(told, 'OK')).toBe(SIGN_UPS - 1);
      expect(
        await outcome(
          other.auth.signUp({ username: unique.username(), password: 'a long secret of mine' }),
        ),
      ).toBe('RATE_LIMITED');
    },
  );
});
