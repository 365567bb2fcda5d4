import { sql } from 'kysely';
import { beforeEach, expect, it } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';
import { keyRing } from '../../src/core/keys.js';
import { sqlNow } from '../../src/db/index.js';
import { createOutbox, insertMessage, LEASE_SECONDS } from '../../src/delivery/index.js';
import { eachDatabase, silentLog } from '../support/databases.js';
import { createMailbox, type Mailbox } from '../support/mailbox.js';
import {
  codeMessage,
  dataKeys,
  insert,
  type MovableClock,
  movableClock,
  noRequests,
  outboxOn,
  rowOf,
} from './fixtures.js';

const LEASE_MS = LEASE_SECONDS * 1000;

eachDatabase('outbox', (database) => {
  let mailbox: Mailbox;
  let clock: MovableClock;

  beforeEach(async () => {
    await sql`delete from outbox`.execute(database().db);
    mailbox = createMailbox();
    clock = movableClock();
  });

  it('sends from memory at once, then scrubs the row (M4, rule 22)', async () => {
    const { db } = database();
    await using outbox = outboxOn(db, clock, mailbox.transports);
    const message = outbox.prepare(codeMessage());
    await insert(db, clock, message);
    expect(await rowOf(db, clock, message.id)).toMatchObject({ state: 'queued', attempts: 0 });

    outbox.dispatch([message]);
    await outbox.settled();

    expect(mailbox.codeFor('+84901234567')).toBe('493021');
    expect(await rowOf(db, clock, message.id)).toMatchObject({
      state: 'sent',
      payload_sealed: null,
      last_error: null,
      finished_at: expect.any(Date),
    });
    clock.offsetMs += 10 * LEASE_MS;
    expect(await outbox.recover()).toBe(0);
    expect(mailbox.attempts).toBe(1);
  });

  it('leases the row for 30 s at insert, and inserts nothing where its source has no row', async () => {
    const { db } = database();
    await using outbox = outboxOn(db, clock, mailbox.transports);
    const [leased, refused] = [outbox.prepare(codeMessage()), outbox.prepare(codeMessage())];
    await insert(db, clock, leased);
    await insert(db, clock, refused, sql`(select 1) as one where false`);

    const row = await rowOf(db, clock, leased.id);
    expect(row.due_in).toBeGreaterThan(LEASE_SECONDS - 5);
    expect(row.due_in).toBeLessThanOrEqual(LEASE_SECONDS);
    const { rows } = await sql`select message_id from outbox`.execute(db);
    expect(rows).toEqual([{ message_id: leased.id }]);
  });

  it('holds neither code nor address in any column of a queued row (rule 22)', async () => {
    const { db } = database();
    await using outbox = outboxOn(db, clock, mailbox.transports);
    const message = outbox.prepare(
      codeMessage({ to: 'lan@example.vn', code: '01928374655647382910' }),
    );
    await insert(db, clock, message);
    const { rows } = await sql<{ text: string; bytes: Buffer }>`
      select o::text as text, payload_sealed as bytes from outbox o`.execute(db);
    expect(rows).toHaveLength(1);
    for (const secret of ['01928374655647382910', 'lan@example.vn', 'example.vn']) {
      expect(rows[0]?.bytes.includes(secret)).toBe(false);
      expect(rows[0]?.text).not.toContain(secret);
      expect(rows[0]?.text).not.toContain(Buffer.from(secret).toString('hex'));
    }
  });

  it('does not open a payload that was moved to another row', async () => {
    const { db } = database();
    await using outbox = outboxOn(db, clock, mailbox.transports);
    const [one, two] = [
      outbox.prepare(codeMessage()),
      outbox.prepare(codeMessage({ to: '+84907654321' })),
    ];
    await insert(db, clock, one);
    await insert(db, clock, { ...two, sealed: one.sealed });
    clock.offsetMs += LEASE_MS;
    expect(await outbox.recover()).toBe(2);
    await outbox.settled();
    expect(mailbox.messages.map(({ to }) => to)).toEqual(['+84901234567']);
    expect(await rowOf(db, clock, two.id)).toMatchObject({
      state: 'queued',
      last_error: 'unsealable',
    });
  });

  it('loses no message when the process dies between insert and send (M4)', async () => {
    const { db } = database();
    const died = outboxOn(db, clock, mailbox.transports);
    const message = died.prepare(codeMessage());
    await insert(db, clock, message);

    await using other = outboxOn(db, clock, mailbox.transports);
    expect(await other.recover()).toBe(0);
    clock.offsetMs += LEASE_MS;
    expect(await other.recover()).toBe(1);
    await other.settled();
    expect(mailbox.messages).toHaveLength(1);
    expect(await rowOf(db, clock, message.id)).toMatchObject({
      state: 'sent',
      payload_sealed: null,
    });
  });

  it('recovers in the language that the inserting statement decided (M3)', async () => {
    const { db } = database();
    await using outbox = outboxOn(db, clock, mailbox.transports);
    const message = outbox.prepare(codeMessage());
    const locale = sql<string>`'vi'`;
    const parts = { accountId: sql<null>`null`, locale, from: sql`(select 1) as one` };
    await sql`with queued as (${insertMessage(sqlNow(clock), message, parts)}) select 1`.execute(
      db,
    );
    clock.offsetMs += LEASE_MS;
    await outbox.recover();
    await outbox.settled();
    expect(mailbox.messages).toMatchObject([
      { locale: 'vi', text: expect.stringContaining('mã xác thực') },
    ]);
  });

  it('recovers with an older key after the keys were rotated', async () => {
    const { db } = database();
    await insert(db, clock, outboxOn(db, clock, mailbox.transports).prepare(codeMessage()));
    const rotated = keyRing([Buffer.alloc(32, 9), dataKeys.current.key]);
    const { transports } = mailbox;
    await using outbox = createOutbox({
      db,
      clock,
      transports,
      dataKeys: rotated,
      random: systemRandom,
      resolve: noRequests,
      log: silentLog,
    });
    clock.offsetMs += LEASE_MS;
    await outbox.recover();
    await outbox.settled();
    expect(mailbox.codeFor('+84901234567')).toBe('493021');
  });

  it('puts a failed message off for longer each time until it expires, then scrubs it', async () => {
    const { db } = database();
    await using outbox = outboxOn(db, clock, mailbox.transports);
    const unlucky = new Error('550 no mailbox lan@example.vn here');
    mailbox.failNext(1_000, unlucky);
    const message = outbox.prepare(codeMessage({ to: 'lan@example.vn' }));
    await insert(db, clock, message);
    outbox.dispatch([message]);
    await outbox.settled();

    const pauses: number[] = [];
    for (;;) {
      const row = await rowOf(db, clock, message.id);
      if (row.state !== 'queued') break;
      expect(row.attempts).toBe(pauses.length + 1);
      expect(row.last_error).toBe('Error');
      pauses.push(row.due_in);
      clock.offsetMs += row.due_in * 1000 + 50;
      expect(await outbox.recover()).toBe(1);
      await outbox.settled();
    }
    for (const [attempt, pause] of pauses.entries()) {
      const full = Math.min(60, 2 ** attempt);
      expect(pause).toBeLessThanOrEqual(full);
      expect(pause).toBeGreaterThan(full / 2 - 1);
    }
    expect(pauses.length).toBeGreaterThanOrEqual(8);
    expect(await rowOf(db, clock, message.id)).toMatchObject({
      state: 'expired',
      payload_sealed: null,
      finished_at: expect.any(Date),
    });
    expect(mailbox.messages).toHaveLength(0);
  });

  it('delivers after the provider has come back, and says how long the code still works', async () => {
    const { db } = database();
    await using outbox = outboxOn(db, clock, mailbox.transports);
    mailbox.failNext(1);
    const message = outbox.prepare(codeMessage());
    await insert(db, clock, message);
    outbox.dispatch([message]);
    await outbox.settled();
    clock.offsetMs += 200_000;
    await outbox.recover();
    await outbox.settled();
    expect(mailbox.messages[0]?.text).toContain('valid for 2 minutes');
    expect(await rowOf(db, clock, message.id)).toMatchObject({ state: 'sent', attempts: 1 });
  });

  it('never sends an expired code late, neither from memory nor by recovery (rule 22)', async () => {
    const { db } = database();
    await using outbox = outboxOn(db, clock, mailbox.transports);
    const message = outbox.prepare(codeMessage({ lifetimeSeconds: 60 }));
    await insert(db, clock, message);
    clock.offsetMs += 61_000;
    outbox.dispatch([message]);
    await outbox.settled();
    expect(await outbox.recover()).toBe(0);
    expect(await outbox.expire()).toBe(1);
    expect(mailbox.attempts).toBe(0);
    expect(await rowOf(db, clock, message.id)).toMatchObject({
      state: 'expired',
      payload_sealed: null,
    });
  });

  it('leaves a message to others when the rest of its lease is shorter than a send may take', async () => {
    const { db } = database();
    await using outbox = outboxOn(db, clock, mailbox.transports, { sendTimeoutMs: 10_000 });
    const message = outbox.prepare(codeMessage());
    await insert(db, clock, message);
    clock.offsetMs += LEASE_MS - 9_999;
    outbox.dispatch([message]);
    await outbox.settled();
    expect(mailbox.attempts).toBe(0);
    expect(await rowOf(db, clock, message.id)).toMatchObject({ state: 'queued', attempts: 0 });
  });

  it('does not disturb the lease of the process that took the message meanwhile', async () => {
    const { db } = database();
    const slow = createMailbox();
    slow.failNext(1);
    await using first = outboxOn(db, clock, slow.transports, {
      lingerMs: 100_000,
      batch: 2,
      drainMs: 1,
    });
    await using second = outboxOn(db, clock, mailbox.transports, { drainMs: 1 });
    const message = first.prepare(codeMessage());
    await insert(db, clock, message);
    // The first process fails, but its result reaches the database only after its lease.
    first.dispatch([message]);
    clock.offsetMs += LEASE_MS;
    mailbox.hang();
    expect(await second.recover()).toBe(1);
    await first[Symbol.asyncDispose]();
    const row = await rowOf(db, clock, message.id);
    expect(row.attempts).toBe(0);
    expect(row.due_in).toBeGreaterThan(LEASE_SECONDS - 5);
    await sql`delete from outbox`.execute(db);
  });

  it('ends a send to a provider that hangs, and tries again later', async () => {
    const { db } = database();
    await using outbox = outboxOn(db, clock, mailbox.transports, { sendTimeoutMs: 30 });
    const release = mailbox.hang();
    const message = outbox.prepare(codeMessage());
    await insert(db, clock, message);
    outbox.dispatch([message]);
    await outbox.settled();
    expect(await rowOf(db, clock, message.id)).toMatchObject({
      state: 'queued',
      attempts: 1,
      last_error: 'SendTimeoutError',
    });
    release();
    clock.offsetMs += 2_000;
    await outbox.recover();
    await outbox.settled();
    expect(mailbox.messages).toHaveLength(1);
  });

  it('ends a send even where the provider does not listen to its signal', async () => {
    const { db } = database();
    const deaf = { send: () => new Promise<void>(() => {}) };
    await using outbox = outboxOn(db, clock, { email: deaf, sms: deaf }, { sendTimeoutMs: 30 });
    const message = outbox.prepare(codeMessage());
    await insert(db, clock, message);
    outbox.dispatch([message]);
    await outbox.settled();
    expect(await rowOf(db, clock, message.id)).toMatchObject({
      attempts: 1,
      last_error: 'SendTimeoutError',
    });
  });

  it('sends SMS while the mail provider hangs', async () => {
    const { db } = database();
    const hung = createMailbox();
    hung.hang();
    const transports = { email: hung, sms: mailbox };
    const limits = { concurrency: 2, drainMs: 1 };
    await using outbox = outboxOn(db, clock, transports, limits);
    const mails = Array.from({ length: 5 }, () =>
      outbox.prepare(codeMessage({ to: 'a@example.vn' })),
    );
    const sms = outbox.prepare(codeMessage());
    for (const message of [...mails, sms]) await insert(db, clock, message);
    outbox.dispatch([...mails, sms]);
    await mailbox.waitFor(({ to }) => to === '+84901234567');
    expect(hung.attempts).toBe(2);
    expect(outbox.figures().queued).toBe(3);
    clock.offsetMs += 1_500;
    expect(outbox.figures().oldest).toBeGreaterThanOrEqual(1_500);
  });
});
