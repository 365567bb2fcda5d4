import { sql } from 'kysely';
import { beforeEach, describe, expect, it, vi } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';
import { createOutbox, LEASE_SECONDS } from '../../src/delivery/index.js';
import { eachDatabase, silentLog } from '../support/databases.js';
import { createMailbox, type Mailbox } from '../support/mailbox.js';
import {
  codeMessage,
  counted,
  dataKeys,
  insert,
  type MovableClock,
  movableClock,
  noRequests,
  outboxOn,
  rowOf,
} from './fixtures.js';

const LEASE_MS = LEASE_SECONDS * 1000;

eachDatabase('an outbox under load', (database) => {
  let mailbox: Mailbox;
  let clock: MovableClock;

  beforeEach(async () => {
    await sql`delete from outbox`.execute(database().db);
    mailbox = createMailbox();
    clock = movableClock();
  });

  it('bounds its memory: what has no room is recovered when its lease is over', async () => {
    const { db } = database();
    const limits = { concurrency: 1, queue: 3 };
    await using outbox = outboxOn(db, clock, mailbox.transports, limits);
    const messages = Array.from({ length: 10 }, (_, i) =>
      outbox.prepare(codeMessage({ to: `+8490123450${i}` })),
    );
    for (const message of messages) await insert(db, clock, message);
    outbox.dispatch(messages);
    expect(outbox.figures().queued).toBe(3);
    await outbox.settled();
    expect(mailbox.messages).toHaveLength(4);

    clock.offsetMs += LEASE_MS;
    while ((await outbox.recover()) > 0) await outbox.settled();
    expect(new Set(mailbox.messages.map(({ to }) => to)).size).toBe(10);
    expect(mailbox.attempts).toBe(10);
  });

  it('writes the results of many sends in few statements', async () => {
    const { db, statements } = counted(database().db);
    await using outbox = outboxOn(db, clock, mailbox.transports, { batch: 50, lingerMs: 200 });
    const messages = Array.from({ length: 100 }, () => outbox.prepare(codeMessage()));
    for (const message of messages) await insert(database().db, clock, message);
    outbox.dispatch(messages);
    await outbox.settled();
    expect(statements).toHaveLength(2);
    const { rows } = await sql`select count(*) as sent from outbox where state = 'sent'`.execute(
      db,
    );
    expect(rows).toEqual([{ sent: 100 }]);
  });

  it('keeps results while the database does not take them, and writes them afterwards', async () => {
    const { db, statements } = counted(database().db);
    await using outbox = outboxOn(db, clock, mailbox.transports);
    const message = outbox.prepare(codeMessage());
    await insert(db, clock, message);
    await sql`alter table outbox rename to outbox_away`.execute(db);
    const before = statements.length;
    outbox.dispatch([message]);
    // The second one was sent because the first one failed.
    await vi.waitFor(() => expect(statements.length - before).toBeGreaterThanOrEqual(2));
    await sql`alter table outbox_away rename to outbox`.execute(db);
    await outbox.settled();
    expect(await rowOf(db, clock, message.id)).toMatchObject({ state: 'sent' });
    expect(mailbox.attempts).toBe(1);
  });

  it('sends what waits before the process ends, within a bound', async () => {
    const { db } = database();
    const outbox = outboxOn(db, clock, mailbox.transports, { concurrency: 1 });
    const messages = Array.from({ length: 5 }, () => outbox.prepare(codeMessage()));
    for (const message of messages) await insert(db, clock, message);
    outbox.dispatch(messages);
    await outbox[Symbol.asyncDispose]();
    expect(mailbox.messages).toHaveLength(5);
    const { rows } = await sql`select count(*) as sent from outbox where state = 'sent'`.execute(
      db,
    );
    expect(rows).toEqual([{ sent: 5 }]);

    const stuck = outboxOn(db, clock, mailbox.transports, { drainMs: 20 });
    mailbox.hang();
    const message = stuck.prepare(codeMessage());
    await insert(db, clock, message);
    stuck.dispatch([message]);
    await stuck[Symbol.asyncDispose]();
    expect(await rowOf(db, clock, message.id)).toMatchObject({
      state: 'queued',
      last_error: 'SendAbortedError',
    });
  });
});

describe('limits of delivery', () => {
  it('refuses a send timeout that the lease does not cover', () => {
    const clock = movableClock();
    const never = { send: () => Promise.resolve() };
    expect(() =>
      createOutbox({
        db: undefined as never,
        dataKeys,
        random: systemRandom,
        clock,
        transports: { email: never, sms: never },
        resolve: noRequests,
        log: silentLog,
        limits: { sendTimeoutMs: 20_000 },
      }),
    ).toThrow(RangeError);
  });
});
