import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { ensureAuditPartitions } from '../../src/audit/index.js';
import type { Clock } from '../../src/core/clock.js';
import { type Db, openDatabase, sqlNow } from '../../src/db/index.js';
import { describePostgres, eachDatabase, silentLog } from '../support/databases.js';

const DAY_MS = 24 * 3600 * 1000;

function clockAt(moment: string): Clock {
  const offsetMs = Date.parse(moment) - Date.now();
  return { offsetMs, now: () => new Date(Date.now() + offsetMs) };
}

async function partitions(db: Db): Promise<readonly string[]> {
  const { rows } = await sql<{
    name: string;
  }>`select inhrelid::regclass::text as name from pg_inherits
    where inhparent = 'audit_events'::regclass order by 1`.execute(db);
  return rows.map(({ name }) => name);
}

async function record(db: Db, clock: Clock): Promise<string> {
  const { rows } = await sql<{ partition: string }>`insert into audit_events
    (event_id, occurred_at, kind, action, caller, request_id, outcome)
    values (gen_random_uuid(), ${sqlNow(clock)}, 'access', 'SignIn', '', '', 'OK')
    returning tableoid::regclass::text as partition`.execute(db);
  return rows[0]?.partition ?? '';
}

eachDatabase('audit partitions', (database) => {
  it('makes those of this month and the next, over the turn of the year too', async () => {
    const { db } = database();
    const clock = clockAt('2031-12-31T23:59:00Z');
    await ensureAuditPartitions(db, clock, silentLog);
    await ensureAuditPartitions(db, clock, silentLog);
    expect(await partitions(db)).toEqual([
      'audit_events_2031_12',
      'audit_events_2032_01',
      'audit_events_default',
    ]);
    expect(await record(db, clock)).toBe('audit_events_2031_12');
    expect(await record(db, clockAt('2032-01-01T00:00:30Z'))).toBe('audit_events_2032_01');
    expect(await record(db, clockAt('2032-02-01T00:00:30Z'))).toBe('audit_events_default');
  });

  it('leaves a month in the default partition that has begun there, and makes the next', async () => {
    const { db } = database();
    const clock = clockAt('2041-05-10T00:00:00Z');
    await record(db, clock);
    await ensureAuditPartitions(db, clock, silentLog);
    const made = await partitions(db);
    expect(made).not.toContain('audit_events_2041_05');
    expect(made).toContain('audit_events_2041_06');
    expect(await record(db, clock)).toBe('audit_events_default');
  });
});

describePostgres('audit partitions, races', (database) => {
  it('lets eight processes make the same partitions at once', async () => {
    const { db, url } = database();
    const pools = await Promise.all(
      Array.from({ length: 8 }, () => openDatabase({ url }, { log: silentLog, maxConnections: 1 })),
    );
    for (let month = 0; month < 6; month += 1) {
      const clock = clockAt(new Date(Date.UTC(2051, month * 2, 1) + DAY_MS).toISOString());
      await Promise.all(pools.map((pool) => ensureAuditPartitions(pool.db, clock, silentLog)));
    }
    await Promise.all(pools.map((pool) => pool[Symbol.asyncDispose]()));
    expect(
      (await partitions(db)).filter((name) => name.startsWith('audit_events_2051')),
    ).toHaveLength(12);
  });

  it('gives up for this time, and says so, where a reader holds the table', async () => {
    const { db, url } = database();
    await using other = await openDatabase({ url }, { log: silentLog });
    const warnings: object[] = [];
    const log = { ...silentLog, warn: (fields: object) => warnings.push(fields) };
    const clock = clockAt('2061-01-10T00:00:00Z');
    await other.db.transaction().execute(async (tx) => {
      await sql`select count(*) from audit_events`.execute(tx);
      await ensureAuditPartitions(db, clock, log);
    });
    expect(warnings).toMatchObject([{ error: '55P03' }, { error: '55P03' }]);
    await ensureAuditPartitions(db, clock, log);
    expect(await partitions(db)).toContain('audit_events_2061_01');
  });
});
