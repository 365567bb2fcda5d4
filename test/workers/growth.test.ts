import { readFile } from 'node:fs/promises';
import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';
import { createSweepingWorker, createSweeps } from '../../src/workers/index.js';
import { eachDatabase, silentLog } from '../support/databases.js';
import { createTestClock } from '../support/test-clock.js';

eachDatabase('what grows', (database) => {
  it('forgets that an account’s sessions were revoked a day later, and not the epoch itself', async () => {
    const { db } = database();
    const clock = createTestClock();
    const accountId = systemRandom.id();
    await sql`insert into accounts (account_id, status, session_epoch, created_at, updated_at)
      values (${accountId}::uuid, 'active', 3, clock_timestamp(), clock_timestamp())`.execute(db);
    await sql`insert into session_epochs values (${accountId}::uuid, 3, clock_timestamp())`.execute(
      db,
    );
    const rows = async (): Promise<number> =>
      (await sql`select 1 from session_epochs`.execute(db)).rows.length;
    const deps = { db, clock, random: systemRandom, log: silentLog };
    await using worker = createSweepingWorker({ ...deps, sweeps: createSweeps(silentLog) });
    // Introspection looks back over the longest life of an access token, and a minute.
    clock.advance({ minutes: 61 });
    await worker.runOnce();
    expect(await rows()).toBe(1);
    clock.advance({ days: 1 });
    await worker.runOnce();
    expect(await rows()).toBe(0);
    const kept = await sql`select session_epoch from accounts`.execute(db);
    expect(kept.rows).toEqual([{ session_epoch: 3 }]);
  });

  it('is told of every table in docs/operations.md', async () => {
    const page = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8');
    const section = /^## What is swept, and what stays$([\s\S]*?)^## /m.exec(page)?.[1] ?? '';
    const { rows } = await sql<{ name: string }>`
      select c.relname as name from pg_class c join pg_namespace n on n.oid = c.relnamespace
      where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition`.execute(
      database().db,
    );
    expect(rows.length).toBeGreaterThan(15);
    const untold = rows.map(({ name }) => name).filter((name) => !section.includes(`\`${name}\``));
    expect(untold).toEqual([]);
  });
});
