import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { sqlNow, sqlNowOnce } from '../../src/db/index.js';
import { eachDatabase } from '../support/databases.js';

const at = (offsetMs: number) => ({ offsetMs, now: () => new Date(Date.now() + offsetMs) });

eachDatabase('the database clock', (database) => {
  it.each([0, 90_500, -3_600_000])(
    'is moved by the offset of the injected clock (%d ms)',
    async (offset) => {
      const { rows } = await sql<{ moved: number; once: number }>`
      select extract(epoch from ${sqlNow(at(offset))} - clock_timestamp())::float8 * 1000 as moved,
             extract(epoch from ${sqlNowOnce(at(offset))} - clock_timestamp())::float8 * 1000 as once
      `.execute(database().db);
      expect(Math.abs((rows[0]?.moved ?? Number.NaN) - offset)).toBeLessThan(50);
      expect(Math.abs((rows[0]?.once ?? Number.NaN) - offset)).toBeLessThan(50);
    },
  );

  it('lets an index be searched by the moment taken once', async () => {
    const { db } = database();
    await sql
      .raw(`create table due (at timestamptz);
        insert into due select now() + n * interval '1 hour' from generate_series(1, 20000) n;
        create index due_at on due (at); analyze due`)
      .execute(db);
    const { rows } = await sql<{ 'QUERY PLAN': string }>`
      explain select from due where at <= ${sqlNowOnce(at(0))}`.execute(db);
    expect(rows.map((row) => row['QUERY PLAN']).join('\n')).toContain('Index Cond');
  });
});
