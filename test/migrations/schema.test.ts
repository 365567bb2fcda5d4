import { readFile } from 'node:fs/promises';
import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { migrations } from '../../migrations/index.js';
import { checkSchema, dumpSchema, inTransaction } from '../../src/db/index.js';
import {
  describePostgres,
  eachDatabase,
  type Profile,
  testDatabase,
} from '../support/databases.js';

eachDatabase('the migrated schema', (database) => {
  it('is what migrations/schema.sql says: run `npx tsx scripts/dump-schema.ts`', async () => {
    const { db } = database();
    const committed = await readFile(
      new URL('../../migrations/schema.sql', import.meta.url),
      'utf8',
    );
    expect(await dumpSchema(db)).toBe(committed);
    expect(await checkSchema(db, migrations)).toEqual({ fits: true });
  });
});

/** A bit of everything that a migration may make. */
const EVERYTHING = `
  drop schema public cascade; create schema public;
  create function later(at timestamptz) returns timestamptz language sql immutable
    as $$ select at + interval '1 day' $$;
  create function refuse() returns trigger language plpgsql as $$ begin return null; end $$;
  create table parent (
    id bigint generated always as identity primary key, v text unique nulls not distinct);
  create table months (
    at timestamptz not null, id bigint references parent, n int default 3 check (n > 0),
    twice int generated always as (n * 2) stored, primary key (at, n)) partition by range (at);
  create table months_1 partition of months for values from ('2026-01-01Z') to ('2026-02-01Z');
  create index months_n on months (n) where n > 3;
  create trigger refuse_delete before delete on parent for each row execute function refuse();
  create view seen as select id, v from parent where v is not null`;

async function dumpEverything(profile: Profile): Promise<string> {
  await using database = await testDatabase({ profile });
  return await inTransaction(database.db, async (tx) => {
    await sql.raw(EVERYTHING).execute(tx);
    // The bounds of a partition are shown in the session's time zone.
    await sql.raw("set local timezone = 'UTC'").execute(tx);
    return await dumpSchema(tx);
  });
}

describePostgres('a schema dump', () => {
  it('is the same on PostgreSQL and on the embedded database, and leaves nothing out', async () => {
    const dump = await dumpEverything('postgres');
    expect(dump).toBe(await dumpEverything('embedded'));
    for (const part of [
      'id bigint not null generated always as identity',
      'UNIQUE NULLS NOT DISTINCT (v)',
      'twice integer generated always as ((n * 2)) stored',
      "FOR VALUES FROM ('2026-01-01 00:00:00+00') TO ('2026-02-01 00:00:00+00')",
      'partition by RANGE (at)',
      'CREATE INDEX months_n ON ONLY public.months USING btree (n) WHERE (n > 3);',
      "select at + interval '1 day'",
      'CREATE TRIGGER refuse_delete BEFORE DELETE ON public.parent',
      'create view seen',
    ]) {
      expect(dump).toContain(part);
    }
  });
});
