import { setImmediate } from 'node:timers/promises';
import { sql } from 'kysely';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import type { AccessEvent, AccessLogLimits } from '../../src/audit/index.js';
import {
  createAccessLog,
  createAddressSeal,
  insertChange,
  newAuditKey,
} from '../../src/audit/index.js';
import { systemClock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import { keyRing } from '../../src/core/keys.js';
import type { Logger } from '../../src/core/logger.js';
import { type Db, sqlNow } from '../../src/db/index.js';
import { eachDatabase, silentLog } from '../support/databases.js';

const dataKeys = keyRing([Buffer.alloc(32, 3)]);
const addresses = createAddressSeal(dataKeys, systemRandom);

function logOn(db: Db, limits: Partial<AccessLogLimits> = {}, log: Logger = silentLog) {
  return createAccessLog({ db, clock: systemClock, random: systemRandom, dataKeys, log, limits });
}

function event(fields: Partial<AccessEvent> = {}): AccessEvent {
  return {
    method: 'SignIn',
    caller: 'bff',
    source: '203.0.113.9',
    requestId: 'request-1',
    outcome: 'OK',
    durationMs: 12.4,
    ...fields,
  };
}

async function createAccount(db: Db): Promise<{ accountId: string; auditKey: Buffer }> {
  const accountId = systemRandom.id();
  const auditKey = newAuditKey(systemRandom);
  await sql`insert into accounts (account_id, status, audit_key, created_at, updated_at)
    values (${accountId}::uuid, 'active', ${auditKey}::bytea, now(), now())`.execute(db);
  return { accountId, auditKey };
}

interface Row {
  readonly event_id: string;
  readonly account_id: string | null;
  readonly address_sealed: Buffer | null;
  readonly duration_ms: number;
  readonly request_id: string;
  readonly kind: string;
}

async function rowsOf(db: Db): Promise<readonly Row[]> {
  const { rows } = await sql<Row>`select * from audit_events order by event_id`.execute(db);
  return rows;
}

eachDatabase('access log (T6)', (database) => {
  beforeEach(async () => {
    await sql`delete from audit_events`.execute(database().db);
  });

  it('writes method, caller, outcome and duration of each call, and when it happened', async () => {
    const { db } = database();
    const before = Date.now();
    await using log = logOn(db);
    log.record(event({ outcome: 'CREDENTIALS_INVALID' }));
    await log.flush();
    const [row] = await rowsOf(db);
    expect(row).toMatchObject({
      kind: 'access',
      action: 'SignIn',
      account_id: null,
      caller: 'bff',
      request_id: 'request-1',
      outcome: 'CREDENTIALS_INVALID',
      duration_ms: 12,
    });
    const { occurred_at } = row as Row & { occurred_at: Date };
    expect(occurred_at.getTime()).toBeGreaterThanOrEqual(before);
    expect(occurred_at.getTime()).toBeLessThanOrEqual(Date.now());
  });

  it('seals the address under the account key, whose destruction erases it (rule 22)', async () => {
    const { db } = database();
    const { accountId, auditKey } = await createAccount(db);
    await using log = logOn(db);
    log.record(event({ accountId }));
    await log.flush();
    const [row] = await rowsOf(db);
    const sealed = row?.address_sealed ?? Buffer.alloc(0);
    const eventId = row?.event_id ?? '';
    expect(sealed.includes('203.0.113.9')).toBe(false);
    expect(addresses.unseal(eventId, sealed, auditKey)).toBe('203.0.113.9');

    // With the account's key gone neither the server's keys nor another account's open it.
    expect(() => addresses.unseal(eventId, sealed, undefined)).toThrow();
    expect(() => addresses.unseal(eventId, sealed, newAuditKey(systemRandom))).toThrow();
    // Nor does the account's key alone, which stands in every dump.
    const otherServer = createAddressSeal(keyRing([Buffer.alloc(32, 4)]), systemRandom);
    expect(() => otherServer.unseal(eventId, sealed, auditKey)).toThrow();
    // Nor does it open as another event's.
    expect(() => addresses.unseal(systemRandom.id(), sealed, auditKey)).toThrow();
  });

  it('keeps no address of an erased account', async () => {
    const { db } = database();
    const { accountId } = await createAccount(db);
    await sql`update accounts set audit_key = null where account_id = ${accountId}::uuid`.execute(
      db,
    );
    await using log = logOn(db);
    log.record(event({ accountId }));
    await log.flush();
    expect(await rowsOf(db)).toMatchObject([{ account_id: accountId, address_sealed: null }]);
  });

  it('seals the address of an anonymous call under the server key, and keeps opening it after rotation', async () => {
    const { db } = database();
    await using log = logOn(db);
    log.record(event());
    log.record(event({ source: '' }));
    await log.flush();
    const [row, unknown] = await rowsOf(db);
    const rotated = createAddressSeal(
      keyRing([Buffer.alloc(32, 9), dataKeys.current.key]),
      systemRandom,
    );
    const sealed = row?.address_sealed ?? Buffer.alloc(0);
    expect(rotated.unseal(row?.event_id ?? '', sealed, undefined)).toBe('203.0.113.9');
    expect(unknown?.address_sealed).toBeNull();
  });

  it('writes by itself, after a while or when a batch is full', async () => {
    const { db } = database();
    await using slow = logOn(db, { batch: 3, flushMs: 60_000 });
    await using quick = logOn(db, { flushMs: 5 });
    for (let i = 0; i < 3; i += 1) slow.record(event());
    await vi.waitFor(async () => expect(await rowsOf(db)).toHaveLength(3));
    quick.record(event());
    await vi.waitFor(async () => expect(await rowsOf(db)).toHaveLength(4));
  });

  it('takes any text that a caller may send', async () => {
    const { db } = database();
    await using log = logOn(db);
    log.record(event({ requestId: `\u0000\ud800${'x'.repeat(5_000)}`, accountId: 'not a uuid' }));
    log.record(event({ requestId: 'fine' }));
    await log.flush();
    const rows = await rowsOf(db);
    expect(rows.map(({ request_id }) => request_id.slice(0, 4))).toEqual(['??xx', 'fine']);
    expect(rows[0]?.request_id).toHaveLength(200);
  });

  it('writes what waits when the process ends', async () => {
    const { db } = database();
    const log = logOn(db, { batch: 2 });
    for (let i = 0; i < 7; i += 1) log.record(event());
    await log[Symbol.asyncDispose]();
    expect(await rowsOf(db)).toHaveLength(7);
  });

  it('keeps events within its bound while the database is away, and counts what it drops', async () => {
    const { db } = database();
    const warnings: string[] = [];
    const log = { ...silentLog, warn: (_: object, message: string) => warnings.push(message) };
    await using access = logOn(db, { buffer: 5, batch: 2, retryMs: 5 }, log);
    await sql`alter table audit_events rename to audit_away`.execute(db);
    try {
      for (let i = 0; i < 12; i += 1) access.record(event({ requestId: `r${i}` }));
      await access.flush();
      expect(access.dropped).toBe(7);
      expect(
        warnings.filter((message) => message.startsWith('access events dropped')),
      ).toHaveLength(1);
    } finally {
      await sql`alter table audit_away rename to audit_events`.execute(db);
    }
    await vi.waitFor(async () => {
      const rows = await rowsOf(db);
      expect(rows.map(({ request_id }) => request_id)).toEqual(['r7', 'r8', 'r9', 'r10', 'r11']);
    });
  });

  it('records a change with the statement that makes it, or not at all', async () => {
    const { db } = database();
    const { accountId } = await createAccount(db);
    const change = (from: ReturnType<typeof sql>) =>
      sql`with changed as (
          update accounts set status = 'blocked' where account_id = ${accountId}::uuid and status = 'active'
          returning account_id),
        recorded as (${insertChange(
          sqlNow(systemClock),
          {
            eventId: systemRandom.id(),
            action: 'account_blocked',
            caller: 'bff',
            requestId: 'request-1',
            outcome: 'OK',
            detail: { by: 'operator' },
          },
          { accountId: sql`changed.account_id`, from },
        )})
        select 1`.execute(db);
    await change(sql`changed`);
    await change(sql`changed`);
    expect(await rowsOf(db)).toMatchObject([
      {
        kind: 'change',
        action: 'account_blocked',
        account_id: accountId,
        detail: { by: 'operator' },
      },
    ]);
  });
});

describe('access log without a database', () => {
  it('leaves what comes while a batch is written to the next one, and a flush writes it', async () => {
    const answers: (() => void)[] = [];
    const executor = {
      transformQuery: (node: unknown) => node,
      compileQuery: () => ({}),
      executeQuery: () => new Promise((resolve) => void answers.push(() => resolve({ rows: [] }))),
    };
    const db = { getExecutor: () => executor } as unknown as Db;
    await using log = logOn(db, { batch: 2, flushMs: 60_000 });
    log.record(event());
    log.record(event());
    await vi.waitFor(() => expect(answers).toHaveLength(1));
    log.record(event());
    answers[0]?.();
    await vi.waitFor(() => expect(log.waiting).toBe(1));
    await setImmediate();
    expect(answers).toHaveLength(1);

    const flushed = log.flush();
    await vi.waitFor(() => expect(answers).toHaveLength(2));
    log.record(event());
    const flushedToo = log.flush();
    answers[1]?.();
    await flushed;
    expect(log.waiting).toBe(1);
    await vi.waitFor(() => expect(answers).toHaveLength(3));
    answers[2]?.();
    await flushedToo;
    expect(log.waiting).toBe(0);
  });

  it('ends within its bound when the database does not answer', async () => {
    const hanging = {
      getExecutor: () => ({ ...executor, executeQuery: () => new Promise(() => {}) }),
    };
    const executor = { transformQuery: (node: unknown) => node, compileQuery: () => ({}) };
    const errors: object[] = [];
    const log = logOn(
      hanging as unknown as Db,
      { drainMs: 20 },
      {
        ...silentLog,
        error: (fields: object) => errors.push(fields),
      },
    );
    log.record(event());
    await log[Symbol.asyncDispose]();
    expect(errors).toEqual([{ lost: 1 }]);
  });
});
