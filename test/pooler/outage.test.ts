import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CountersignError } from '../../src/client/index.js';
import { eventually } from '../resilience/eventually.js';
import { type Signup, signUp } from '../support/people.js';
import { describePooled } from '../support/private-pgbouncer.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { type PooledDatabase, pooledDatabase } from './pooled.js';

/** For one statement, so that the wait for a pooler that answers nothing is short. */
const STATEMENT_MS = 1_000;
/** Until a connection that stays silent is given up. */
const GRACE_MS = 500;

describePooled('a server whose PgBouncer goes away', {}, () => {
  let place: PooledDatabase;
  let app: TestApp;
  let person: Signup;
  beforeAll(async () => {
    const limits = { statementTimeoutMs: STATEMENT_MS, cancelGraceMs: GRACE_MS };
    place = await pooledDatabase({}, { ...limits, connectTimeoutMs: 1_000 });
    app = await startTestApp({ database: place.pooled });
    person = await signUp(app);
  });
  afterAll(async () => {
    await app?.[Symbol.asyncDispose]();
    await place?.[Symbol.asyncDispose]();
  });

  const read = (deadlineMs?: number): Promise<string> =>
    app.auth.getAccount({}, { accessToken: person.accessToken, deadlineMs }).then(
      () => 'OK',
      (error: unknown) => {
        if (!(error instanceof CountersignError)) throw error;
        return error.reason === 'UNKNOWN' ? error.codeName : error.reason;
      },
    );
  const recovers = () =>
    eventually('calls are answered again', async () => (await read()) === 'OK');

  it('answers UNAVAILABLE and nothing else while it restarts under load, and recovers', async () => {
    const outcomes = new Map<string, number>();
    let over = false;
    const load = Array.from({ length: 12 }, async () => {
      while (!over) {
        const outcome = await read();
        outcomes.set(outcome, (outcomes.get(outcome) ?? 0) + 1);
      }
    });
    await eventually('the load runs', async () => (outcomes.get('OK') ?? 0) > 50);
    await place.pooler.stop();
    await eventually('calls fail', async () => (outcomes.get('DEPENDENCY_UNAVAILABLE') ?? 0) > 0);
    await place.pooler.start();
    const before = outcomes.get('OK') ?? 0;
    await eventually('calls succeed', async () => (outcomes.get('OK') ?? 0) > before + 50);
    over = true;
    await Promise.all(load);
    expect([...outcomes.keys()].toSorted()).toEqual(['DEPENDENCY_UNAVAILABLE', 'OK']);
  });

  it('answers in time while it is paused, to whoever set a deadline too, and recovers', async () => {
    await recovers();
    await place.pooler.admin('PAUSE');
    try {
      const started = performance.now();
      const outcomes = await Promise.all([...Array.from({ length: 20 }, () => read()), read(300)]);
      expect(performance.now() - started).toBeLessThan(STATEMENT_MS + GRACE_MS + 3_000);
      expect(new Set(outcomes.slice(0, -1))).toEqual(new Set(['DEPENDENCY_UNAVAILABLE']));
      expect(outcomes.at(-1)).toBe('DEADLINE_EXCEEDED');
    } finally {
      await place.pooler.admin('RESUME');
    }
    await recovers();
  });

  it('takes a deadline down to a statement that waits for a lock (rule 20)', async () => {
    const locker = place.direct.db;
    const waiting = async () => {
      const { rows } = await sql`
        select from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`.execute(
        locker,
      );
      return rows.length;
    };
    await locker.transaction().execute(async (tx) => {
      await sql`select from sessions where account_id = ${person.accountId} for update`.execute(tx);
      const call = app.auth
        .refreshSession({ refreshToken: person.refreshToken }, { deadlineMs: 400 })
        .catch((error: unknown) => error);
      await expect.poll(waiting).toBe(1);
      expect(await call).toMatchObject({ codeName: 'DEADLINE_EXCEEDED' });
      // The lock is still held: what has gone was interrupted.
      await expect.poll(waiting, { timeout: 1_000, interval: 20 }).toBe(0);
    });
    await recovers();
  });
});
