import { sql } from 'kysely';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import type { AuthClient, CallOptions } from '../../src/client/index.js';
import { brokenInvariants, tally } from '../concurrency/two-servers.js';
import { PASSWORD, type Signup, signUp, unique } from '../support/people.js';
import { describePooled } from '../support/private-pgbouncer.js';
import { seeded } from '../support/seeded.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { type PooledDatabase, pooledDatabase } from './pooled.js';

const CALLS = 600;
const AT_ONCE = 60;
const PEOPLE = 12;
const WIDE = '1000000/1h';

/** Whoever left, and what one person doing many things at once meets; all others are a bug. */
const EXPECTED = new Set([
  'OK',
  'CANCELLED',
  'DEADLINE_EXCEEDED',
  'CODE_INVALID',
  'CODE_EXPIRED',
  'VERIFICATION_LOCKED',
  'RESEND_TOO_SOON',
  'SIGN_IN_LOCKED',
]);

describePooled('callers who leave, behind PgBouncer', { timeout: 60_000 }, () => {
  let place: PooledDatabase;
  let apps: readonly TestApp[];
  beforeAll(async () => {
    place = await pooledDatabase();
    const env = {
      LIMIT_SMS_PER_COUNTRY: WIDE,
      LIMIT_SMS_IN_ALL: WIDE,
      LIMIT_CALLS_PER_SOURCE: WIDE,
    };
    const one = await startTestApp({ database: place.pooled, env });
    const { dataDir, clock, mailbox } = one;
    apps = [one, await startTestApp({ database: place.pooled, env, dataDir, clock, mailbox })];
  });
  afterAll(async () => {
    for (const app of apps.toReversed()) await app[Symbol.asyncDispose]();
    await place[Symbol.asyncDispose]();
  });

  /** Another client of the same pooler and database, who never leaves. */
  async function bystand(over: () => boolean): Promise<number> {
    const client = new Client({ connectionString: place.pooled.url });
    await client.connect();
    let rounds = 0;
    for (; !over(); rounds += 1) {
      const { rows } = await client.query('select $1::int as n, pg_sleep(0.003)', [rounds]);
      expect(rows[0].n).toBe(rounds);
    }
    await client.end();
    return rounds;
  }

  it('leave no answer, interruption or half-made row to anybody else (rule 20)', async () => {
    const seed = Date.now() % 2 ** 31;
    const random = seeded(seed);
    const pick = <T>(list: readonly T[]): T => list[Math.floor(random() * list.length)] as T;
    const [first] = apps;
    if (first === undefined) throw new Error('no app');
    const people = await Promise.all(
      Array.from({ length: PEOPLE }, () => signUp(first, { phoneNumber: unique.phone() })),
    );
    const read = async (auth: AuthClient, person: Signup, options: CallOptions) => {
      const { account } = await auth.getAccount({}, options);
      expect(account?.accountId, `seed ${seed}`).toBe(person.accountId);
    };
    const actions = [
      read,
      read,
      (auth: AuthClient, { refreshToken }: Signup, options: CallOptions) =>
        auth.refreshSession({ refreshToken }, options),
      async (auth: AuthClient, { username, accountId }: Signup, options: CallOptions) => {
        const signedIn = await auth.signIn({ identifier: username, password: PASSWORD }, options);
        expect(signedIn.accountId, `seed ${seed}`).toBe(accountId);
      },
      (auth: AuthClient, _: Signup, options: CallOptions) =>
        auth.sendPhoneVerificationCode({ phoneNumber: unique.phone() }, options),
      (auth: AuthClient, _: Signup, options: CallOptions) =>
        auth.confirmPhoneNumber({ code: '000000' }, options),
    ];
    /** A third stay, a third set a deadline that is short for a busy pooler, a third hang up. */
    const leaving = (): CallOptions => {
      const way = Math.floor(random() * 3);
      if (way === 0) return {};
      const ms = Math.ceil(2 + random() * 120);
      return way === 1 ? { deadlineMs: ms } : { signal: AbortSignal.timeout(ms) };
    };
    let over = false;
    const bystanders = [1, 2, 3].map(() => bystand(() => over));
    const results: PromiseSettledResult<unknown>[] = [];
    while (results.length < CALLS) {
      const calls = Array.from({ length: AT_ONCE }, async () => {
        const person = pick(people);
        const options = { ...leaving(), accessToken: person.accessToken };
        await pick(actions)(pick(apps).auth, person, options);
      });
      results.push(...(await Promise.allSettled(calls)));
    }
    over = true;
    for (const rounds of await Promise.all(bystanders)) expect(rounds).toBeGreaterThan(20);
    const counts = tally(results);
    const unexpected = Object.entries(counts).filter(([outcome]) => !EXPECTED.has(outcome));
    expect(unexpected, `seed ${seed}`).toEqual([]);
    for (const outcome of ['OK', 'CANCELLED', 'DEADLINE_EXCEEDED'])
      expect(counts[outcome], `${outcome}, seed ${seed}`).toBeGreaterThan(20);
    expect(await brokenInvariants(place.direct.db), `seed ${seed}`).toEqual([]);
    const answers = await Promise.all(
      Array.from({ length: 200 }, (_, n) =>
        sql<{ n: number }>`select ${n}::int as n`.execute(place.pooled.db),
      ),
    );
    expect(answers.map(({ rows }) => rows[0]?.n)).toEqual(answers.map((_, n) => n));
  });
});
