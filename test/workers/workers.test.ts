import { sql } from 'kysely';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';
import { type Db, sqlNow } from '../../src/db/index.js';
import {
  createDeliveryWorker,
  createPeriodicWorker,
  createSweepingWorker,
  createSweeps,
} from '../../src/workers/index.js';
import { codeMessage, insert, movableClock, outboxOn, rowOf } from '../delivery/fixtures.js';
import { eachDatabase, silentLog } from '../support/databases.js';
import { createMailbox } from '../support/mailbox.js';

const deps = { random: systemRandom, log: silentLog };

describe('periodic worker', () => {
  it('never overlaps its runs, and goes on after one that failed', async () => {
    let running = 0;
    let most = 0;
    let runs = 0;
    const errors: object[] = [];
    await using worker = createPeriodicWorker({
      name: 'test',
      intervalMs: 1,
      random: systemRandom,
      log: { ...silentLog, error: (fields: object) => errors.push(fields) },
      async run() {
        running += 1;
        most = Math.max(most, running);
        await new Promise((resolve) => setTimeout(resolve, 3));
        running -= 1;
        runs += 1;
        if (runs === 2) throw new TypeError('with an address:\n    lan@example.vn');
      },
    });
    worker.start();
    worker.start();
    await Promise.all([worker.runOnce(), worker.runOnce(), worker.runOnce()]);
    await vi.waitFor(() => expect(runs).toBeGreaterThan(6));
    expect(most).toBe(1);
    expect(errors).toHaveLength(1);
    expect(errors[0]).toMatchObject({ worker: 'test', error: 'TypeError' });
    expect(JSON.stringify(errors)).not.toContain('lan@example.vn');
  });

  it('waits for its run when it is disposed of, and begins none afterwards', async () => {
    let ended = 0;
    const worker = createPeriodicWorker({
      ...deps,
      name: 'test',
      intervalMs: 1,
      async run(signal) {
        await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }));
        ended += 1;
      },
    });
    worker.start();
    await new Promise(setImmediate);
    await worker[Symbol.asyncDispose]();
    expect(ended).toBe(1);
    await worker.runOnce();
    expect(ended).toBe(1);
  });

  it('is disposed of although its run hangs, and says so', async () => {
    const warnings: object[] = [];
    const worker = createPeriodicWorker({
      name: 'test',
      intervalMs: 1,
      stopMs: 20,
      random: systemRandom,
      log: { ...silentLog, warn: (fields: object) => warnings.push(fields) },
      run: () => new Promise(() => {}),
    });
    worker.start();
    await new Promise(setImmediate);
    await worker[Symbol.asyncDispose]();
    expect(warnings).toEqual([{ worker: 'test', stopMs: 20 }]);
  });
});

eachDatabase('delivery worker', (database) => {
  it('sends what a dead process left, and scrubs what has expired (M4)', async () => {
    const { db } = database();
    const clock = movableClock();
    const mailbox = createMailbox();
    const dead = outboxOn(db, clock, mailbox.transports);
    const alive = dead.prepare(codeMessage({ lifetimeSeconds: 300 }));
    const late = dead.prepare(codeMessage({ to: '+84907654321', lifetimeSeconds: 20 }));
    for (const message of [alive, late]) await insert(db, clock, message);

    clock.offsetMs += 31_000;
    const outbox = outboxOn(db, clock, mailbox.transports);
    await using worker = createDeliveryWorker({ ...deps, outbox, intervalMs: 5 });
    worker.start();
    await mailbox.waitFor(({ to }) => to === '+84901234567');
    await outbox[Symbol.asyncDispose]();
    expect(await rowOf(db, clock, alive.id)).toMatchObject({ state: 'sent' });
    expect(await rowOf(db, clock, late.id)).toMatchObject({
      state: 'expired',
      payload_sealed: null,
    });
    expect(mailbox.messages).toHaveLength(1);
  });
});

eachDatabase('sweeping worker', (database) => {
  const clock = movableClock();
  let accountId = '';

  const count = async (db: Db, table: string): Promise<number> => {
    const { rows } = await sql<{
      count: number;
    }>`select count(*) as count from ${sql.table(table)}`.execute(db);
    return rows[0]?.count ?? -1;
  };
  const sweep = async (db: Db): Promise<void> => {
    await using worker = createSweepingWorker({
      ...deps,
      db,
      clock,
      sweeps: createSweeps(silentLog),
    });
    await worker.runOnce();
  };
  const at = (days: number) => sql`${sqlNow(clock)} + make_interval(days => ${days})`;

  const challenge = (db: Db, expiresIn: number, channel = 'sms') =>
    sql`insert into challenges (challenge_id, account_id, purpose, channel, caller, address_subject,
        destination_sealed, code_hash, long_code, proof_epoch, issued_at, expires_at, resend_at)
      values (gen_random_uuid(), ${accountId}::uuid, 'verify', ${channel}, '', '', '', '', false, 0,
        ${at(-9)}, ${at(expiresIn)}, ${at(-9)})`.execute(db);
  const claim = (db: Db, type: string, value: string, expiresIn: number) =>
    sql`insert into identifiers (account_id, type, value, state, sign_in_enabled, claim_expires_at, created_at)
      values (${accountId}::uuid, ${type}, ${value}, 'claimed', false, ${at(expiresIn)}, ${at(-9)})`.execute(
      db,
    );

  beforeEach(async () => {
    const { db } = database();
    for (const table of [
      'challenges',
      'identifiers',
      'sessions',
      'notices',
      'idempotency_keys',
      'outbox',
    ]) {
      await sql`delete from ${sql.table(table)}`.execute(db);
    }
    accountId = systemRandom.id();
    await sql`insert into accounts (account_id, status, created_at, updated_at)
      values (${accountId}::uuid, 'active', ${at(0)}, ${at(0)})`.execute(db);
  });

  it('forgets challenges a day after they ended', async () => {
    const { db } = database();
    await challenge(db, -2, 'sms');
    await challenge(db, 0, 'email');
    await sweep(db);
    const { rows } = await sql`select channel from challenges`.execute(db);
    expect(rows).toEqual([{ channel: 'email' }]);
  });

  it('drops claims that had no live code for 7 days, and keeps those with one', async () => {
    const { db } = database();
    await claim(db, 'phone', '+84901234567', -1);
    await claim(db, 'email', 'lan@example.vn', -1);
    await challenge(db, 1, 'sms');
    await sweep(db);
    const { rows } = await sql`select type from identifiers`.execute(db);
    expect(rows).toEqual([{ type: 'phone' }]);
    await sql`update challenges set used_at = ${at(0)}`.execute(db);
    await sweep(db);
    expect(await count(db, 'identifiers')).toBe(0);
  });

  it('keeps claims in their time, and what is proven for ever', async () => {
    const { db } = database();
    await claim(db, 'phone', '+84901234567', 1);
    await sql`insert into identifiers (account_id, type, value, state, sign_in_enabled, proven_by, verified_at, created_at)
      values (${accountId}::uuid, 'email', 'lan@example.vn', 'verified', true, 'code', ${at(-900)}, ${at(-900)})`.execute(
      db,
    );
    await sweep(db);
    expect(await count(db, 'identifiers')).toBe(2);
  });

  it('forgets sessions 30 days after they ended or expired, notices and request ids after a day', async () => {
    const { db } = database();
    const session = (expires: number, ended: number | null) =>
      sql`insert into sessions (session_id, account_id, caller, session_epoch, auth_time, amr, generation,
          token_hash, idle_expires_at, expires_at, created_at, ended_at)
        values (gen_random_uuid(), ${accountId}::uuid, '', 0, ${at(-90)}, '{pwd}', 0, '', ${at(expires)},
          ${at(expires)}, ${at(-90)}, ${ended === null ? sql`null` : at(ended)})`.execute(db);
    await session(60, null);
    await session(60, -29);
    await session(-29, null);
    await session(60, -31);
    await session(-31, null);
    for (const [kind, days] of [
      ['new', 0],
      ['old', -2],
    ] as const) {
      await sql`insert into notices values (${accountId}::uuid, ${kind}, ${at(days)})`.execute(db);
      await sql`insert into idempotency_keys values ('bff', ${kind}, gen_random_uuid(), '', '{}',
        ${at(days - 1)}, ${at(days)} + interval '1 hour')`.execute(db);
    }
    await sweep(db);
    expect(await count(db, 'sessions')).toBe(3);
    expect((await sql`select kind from notices`.execute(db)).rows).toEqual([{ kind: 'new' }]);
    expect((await sql`select rpc from idempotency_keys`.execute(db)).rows).toEqual([
      { rpc: 'new' },
    ]);
  });

  it('forgets messages 7 days after they were finished, in batches, however many', async () => {
    const { db } = database();
    const messages = (rows: number, state: string, finished: number) =>
      sql`insert into outbox (message_id, kind, channel, locale, state, due_at, expires_at, created_at, finished_at)
        select gen_random_uuid(), 'verification_code', 'sms', 'vi', ${state}, ${at(-9)}, ${at(-9)}, ${at(-9)}, ${at(finished)}
        from generate_series(1, ${rows})`.execute(db);
    await messages(1_234, 'sent', -8);
    await messages(3, 'expired', -6);
    await sweep(db);
    expect(await count(db, 'outbox')).toBe(3);
  });

  it('goes on with the other sweeps when one fails', async () => {
    const { db } = database();
    const errors: object[] = [];
    const swept: string[] = [];
    const ok = async () => {
      swept.push('second');
      return 0;
    };
    await using worker = createSweepingWorker({
      db,
      clock,
      random: systemRandom,
      log: { ...silentLog, error: (fields: object) => errors.push(fields) },
      sweeps: [
        { name: 'first', sweep: () => Promise.reject(new TypeError('broken')) },
        { name: 'second', sweep: ok },
      ],
    });
    await worker.runOnce();
    expect(swept).toEqual(['second']);
    expect(errors).toMatchObject([{ sweep: 'first', error: 'TypeError' }]);
  });
});
