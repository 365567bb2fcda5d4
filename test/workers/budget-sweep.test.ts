import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { createSweeps } from '../../src/workers/index.js';
import { eachDatabase, silentLog } from '../support/databases.js';
import { createTestClock } from '../support/test-clock.js';

eachDatabase('the sweep of guess budgets', (database) => {
  it('walks the whole table by its key, and deletes only what says nothing any more', async () => {
    const { db } = database();
    const clock = createTestClock();
    await sql`insert into guess_budgets
        (subject, channel, lane, failures, locks, locked_until, window_failures, window_started_at)
      select sha256(n::text::bytea), 'password', 'anonymous', 1, 0,
        case when n % 10 = 1 then clock_timestamp() + interval '60 days' end, 1,
        clock_timestamp() - case when n % 2 = 0 then interval '1 day' else interval '31 days' end
      from generate_series(1, 100) n`.execute(db);
    const sweep = createSweeps(silentLog).find(({ name }) => name === 'guess budgets');
    const left = async () => {
      for (let round = 0; round < 12; round += 1) await sweep?.sweep(db, clock, 10);
      const { rows } = await sql<{ left: number }>`
        select count(*)::int as left from guess_budgets`.execute(db);
      return rows[0]?.left;
    };
    // 50 whose window still runs, and the 10 that are locked.
    expect(await left()).toBe(60);
    clock.advance({ days: 31 });
    expect(await left()).toBe(10);
  });
});
