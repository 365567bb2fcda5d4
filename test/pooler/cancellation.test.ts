import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { Client } from 'pg';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { type Database, openDatabase, untilAborted } from '../../src/db/index.js';
import { postgresUrl, silentLog } from '../support/databases.js';
import {
  describePooled,
  type PrivatePgbouncer,
  startPrivatePgbouncer,
} from '../support/private-pgbouncer.js';
import { seeded } from '../support/seeded.js';

const gone = new Error('the caller has left');
const POOL_SIZE = 10;
const ROUNDS = 40;

describePooled('cancellation behind PgBouncer', {}, () => {
  let pooler: PrivatePgbouncer;
  let database: Database;
  /** Past the pooler. */
  let direct: Database;

  beforeAll(async () => {
    pooler = await startPrivatePgbouncer(postgresUrl());
    database = await openDatabase(
      { url: pooler.through(postgresUrl()) },
      { log: silentLog, maxConnections: POOL_SIZE },
    );
    direct = await openDatabase({ url: postgresUrl() }, { log: silentLog });
  });
  afterAll(async () => {
    await database[Symbol.asyncDispose]();
    await direct[Symbol.asyncDispose]();
    await pooler[Symbol.asyncDispose]();
  });

  /** A statement that would take half a minute, and whether the server is at it. */
  function longStatement(signal: AbortSignal) {
    const mark = `long ${randomUUID()}`;
    const call = sql`select pg_sleep(${30}) as ${sql.ref(mark)}`.execute(
      untilAborted(signal, database.db),
    );
    return {
      outcome: call.catch((error: unknown) => error),
      running: async () => {
        const { rows } = await sql`
          select from pg_stat_activity where state = 'active' and pid <> pg_backend_pid()
            and query like ${`%${mark}%`}`.execute(direct.db);
        return rows.length;
      },
    };
  }

  it('ends the statement on the server, and not the wait for it alone', async () => {
    const controller = new AbortController();
    const { outcome, running } = longStatement(controller.signal);
    await expect.poll(running).toBe(1);
    const aborted = performance.now();
    controller.abort(gone);
    expect(await outcome).toBe(gone);
    expect(await running()).toBe(0);
    expect(performance.now() - aborted).toBeLessThan(1_000);
  });

  it('ends a statement that still waited for its turn in the pooler, where nothing can be cancelled yet', async () => {
    const holders = await Promise.all(
      [1, 2, 3].map(async () => {
        const client = new Client({ connectionString: pooler.through(postgresUrl()) });
        await client.connect();
        await client.query('begin');
        return client;
      }),
    );
    const controller = new AbortController();
    const { outcome, running } = longStatement(controller.signal);
    await expect.poll(waitingClients).toBe(1);
    controller.abort(gone);
    // The first request has been sent, and dropped, before there is anything to interrupt.
    await new Promise((resolve) => setTimeout(resolve, 300));
    for (const client of holders) {
      await client.query('rollback');
      await client.end();
    }
    const free = performance.now();
    expect(await outcome).toBe(gone);
    expect(performance.now() - free).toBeLessThan(1_000);
    expect(await running()).toBe(0);
  });

  async function waitingClients(): Promise<unknown> {
    const pools = await pooler.admin('SHOW POOLS');
    return pools.find(({ database: name }) => name === 'postgres')?.['cl_waiting'];
  }

  /**
   * PgBouncer hands a cancel request to whichever server connection the client holds when it arrives.
   * Three of them serve everybody here, and change hands every few milliseconds.
   */
  it('never interrupts somebody else: neither our pool, nor another client of the same pooler', async () => {
    const seed = Date.now() % 2 ** 31;
    const random = seeded(seed);
    let over = false;
    const bystanders = Array.from({ length: 6 }, async (_, index) => {
      const client = new Client({ connectionString: pooler.through(postgresUrl()) });
      await client.connect();
      let rounds = 0;
      try {
        for (; !over; rounds += 1) {
          const { rows } = await client.query('select $1::int as n, pg_sleep(0.004)', [
            index * 100_000 + rounds,
          ]);
          expect(rows[0].n).toBe(index * 100_000 + rounds);
        }
      } finally {
        await client.end();
      }
      return rounds;
    });
    const outcomes = { answered: 0, aborted: 0 };
    const caller = async (offset: number): Promise<void> => {
      for (let round = 0; round < ROUNDS; round += 1) {
        const expected = offset * 100_000 + round;
        const controller = new AbortController();
        const leaves = random() < 0.6;
        // At about the moment when the answer comes, or long before it, or while waiting for a turn.
        if (leaves) setTimeout(() => controller.abort(gone), random() * 14);
        const result = await sql<{
          n: number;
        }>`select ${expected}::int as n, pg_sleep(${random() * 0.008})`
          .execute(untilAborted(controller.signal, database.db))
          .catch((error: unknown) => {
            if (error !== gone || !leaves) throw error;
            outcomes.aborted += 1;
            return undefined;
          });
        if (result === undefined) continue;
        expect(result.rows[0]?.n, `seed ${seed}`).toBe(expected);
        outcomes.answered += 1;
      }
    };
    const callers = Promise.all(Array.from({ length: POOL_SIZE + 5 }, (_, n) => caller(n)));
    await callers.finally(() => {
      over = true;
    });
    const rounds = await Promise.all(bystanders);
    for (const count of rounds) expect(count, `seed ${seed}`).toBeGreaterThan(10);
    expect(outcomes.answered + outcomes.aborted).toBe((POOL_SIZE + 5) * ROUNDS);
    expect(outcomes.aborted).toBeGreaterThan(ROUNDS);
  });
});
