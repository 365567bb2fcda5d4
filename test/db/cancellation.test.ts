import { sql } from 'kysely';
import { expect, it } from 'vitest';
import {
  inTransaction,
  isCancelled,
  isUnavailable,
  unhurried,
  untilAborted,
} from '../../src/db/index.js';
import { describePostgres, eachDatabase, testDatabase } from '../support/databases.js';

const gone = new Error('the caller has left');

function abortAfter(ms: number): AbortSignal {
  const controller = new AbortController();
  setTimeout(() => controller.abort(gone), ms);
  return controller.signal;
}

eachDatabase('a call whose signal has aborted', (database) => {
  it('starts no statement (rule 20)', async () => {
    const { db } = database();
    const late = sql`select 1`.execute(untilAborted(AbortSignal.abort(gone), db));
    await expect(late).rejects.toBe(gone);
  });

  it('still runs what was not asked to stop: a guess is counted (rule 2)', async () => {
    const { db } = database();
    await sql.raw('create table guesses (n int)').execute(db);
    const left = untilAborted(AbortSignal.abort(gone), db);
    await sql`insert into guesses values (${1})`.execute(db);
    await expect(sql`insert into guesses values (${2})`.execute(left)).rejects.toBe(gone);
    expect((await sql`select n from guesses`.execute(db)).rows).toEqual([{ n: 1 }]);
  });

  it('undoes the transaction that it was in', async () => {
    const { db } = database();
    await sql.raw('create table half (n int)').execute(db);
    const call = inTransaction(db, async (tx) => {
      await sql`insert into half values (${1})`.execute(tx);
      await sql`insert into half values (${2})`.execute(untilAborted(AbortSignal.abort(gone), tx));
    });
    await expect(call).rejects.toBe(gone);
    expect((await sql`select n from half`.execute(db)).rows).toEqual([]);
  });

  it('sends nothing when its turn for a connection comes, and the queue goes on', async () => {
    const { db } = database();
    await sql.raw('create table late (n int)').execute(db);
    const holders = Array.from({ length: 10 }, () =>
      inTransaction(db, () => new Promise((resolve) => setTimeout(resolve, 60))),
    );
    const impatient = sql`insert into late values (${1})`.execute(untilAborted(abortAfter(10), db));
    const patient = sql`select 2 as two`.execute(db);
    await expect(impatient).rejects.toBe(gone);
    expect((await patient).rows).toEqual([{ two: 2 }]);
    await Promise.all(holders);
    expect((await sql`select n from late`.execute(db)).rows).toEqual([]);
  });
});

describePostgres('cancellation of a running statement', (database) => {
  it('returns quickly, and the same connection is used again', async () => {
    await using one = await testDatabase({ profile: 'postgres', maxConnections: 1 });
    const pid = async (): Promise<unknown> =>
      (await sql`select pg_backend_pid() as pid`.execute(one.db)).rows[0];
    const before = await pid();
    const started = performance.now();
    const call = sql`select pg_sleep(${10})`.execute(untilAborted(abortAfter(50), one.db));
    await expect(call).rejects.toBe(gone);
    expect(performance.now() - started).toBeLessThan(2_000);
    expect(await pid()).toEqual(before);
  });

  it('rolls back the transaction around it', async () => {
    const { db } = database();
    await sql.raw('create table undone (n int)').execute(db);
    const call = inTransaction(db, async (tx) => {
      await sql`insert into undone values (${1})`.execute(tx);
      await sql`select pg_sleep(${10})`.execute(untilAborted(abortAfter(50), tx));
    });
    await expect(call).rejects.toBe(gone);
    expect((await sql`select n from undone`.execute(db)).rows).toEqual([]);
  });

  it('never hands one statement the answer or the interruption of another', async () => {
    await using small = await testDatabase({ profile: 'postgres', maxConnections: 4 });
    const { db } = small;
    const outcomes = { answered: 0, aborted: 0 };
    const worker = async (offset: number): Promise<void> => {
      for (let round = 0; round < 40; round += 1) {
        const expected = offset * 1_000 + round;
        // Every other statement aborts at about the moment when its answer comes.
        const signal = round % 2 === 0 ? abortAfter(round % 7) : new AbortController().signal;
        const call = sql<{ n: number }>`select ${expected}::int as n, pg_sleep(${0.004})`.execute(
          untilAborted(signal, db),
        );
        const result = await call.catch((error: unknown) => {
          if (error !== gone || round % 2 !== 0) throw error;
          outcomes.aborted += 1;
          return undefined;
        });
        if (result === undefined) continue;
        expect(result.rows[0]?.n).toBe(expected);
        outcomes.answered += 1;
      }
    };
    await Promise.all(Array.from({ length: 12 }, (_, offset) => worker(offset)));
    expect(outcomes.answered).toBeGreaterThanOrEqual(240);
    expect(outcomes.aborted).toBeGreaterThan(20);
    expect(outcomes.answered + outcomes.aborted).toBe(480);
  });

  it('stops a statement at its time limit, unless it is let off', async () => {
    await using hasty = await testDatabase({
      profile: 'postgres',
      statementTimeoutMs: 100,
      maxConnections: 1,
    });
    const slow = sql`select pg_sleep(${0.3})`;
    const hurried = () => slow.execute(hasty.db).catch((e: unknown) => e);
    const error = await hurried();
    expect([isCancelled(error), isUnavailable(error)]).toEqual([true, false]);
    const letOff = inTransaction(hasty.db, async (tx) => {
      await unhurried(tx);
      return slow.execute(tx);
    });
    await expect(letOff).resolves.toBeDefined();
    // For that one transaction, and not for whoever has the connection next.
    expect(isCancelled(await hurried())).toBe(true);
  });

  it('throws a connection away that was left inside a hand-written transaction', async () => {
    await using one = await testDatabase({ profile: 'postgres', maxConnections: 1 });
    await sql.raw('begin').execute(one.db);
    const { rows } = await sql<{ alone: boolean }>`
      select now() = statement_timestamp() as alone`.execute(one.db);
    expect(rows).toEqual([{ alone: true }]);
  });
});
