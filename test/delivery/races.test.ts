import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { openDatabase } from '../../src/db/index.js';
import { LEASE_SECONDS, type ResolveRequest } from '../../src/delivery/index.js';
import { describePostgres, silentLog } from '../support/databases.js';
import { createMailbox } from '../support/mailbox.js';
import { codeMessage, insert, movableClock, outboxOn, requestFor } from './fixtures.js';

describePostgres('outbox races', (database) => {
  it('sends each message once while four processes recover the same 300', async () => {
    const { db, url } = database();
    const clock = movableClock();
    const mailbox = createMailbox();
    const author = outboxOn(db, clock, mailbox.transports);
    const phones = Array.from({ length: 300 }, (_, i) => `+8490${String(1_000_000 + i)}`);
    for (const to of phones) await insert(db, clock, author.prepare(codeMessage({ to })));
    clock.offsetMs += LEASE_SECONDS * 1000;

    const pools = await Promise.all(
      Array.from({ length: 4 }, () => openDatabase({ url }, { log: silentLog, maxConnections: 2 })),
    );
    const taken = await Promise.all(
      pools.map(async (pool) => {
        const outbox = outboxOn(pool.db, clock, mailbox.transports, { concurrency: 7 });
        let total = 0;
        for (let empty = 0; empty < 3; ) {
          const count = await outbox.recover();
          empty = count === 0 ? empty + 1 : 0;
          total += count;
          await new Promise(setImmediate);
        }
        await outbox[Symbol.asyncDispose]();
        await pool[Symbol.asyncDispose]();
        return total;
      }),
    );

    expect(taken.reduce((sum, count) => sum + count, 0)).toBe(300);
    expect(mailbox.messages.map(({ to }) => to).sort()).toEqual(phones);
    const { rows } = await sql`select state, count(*) as count from outbox group by state`.execute(
      db,
    );
    expect(rows).toEqual([{ state: 'sent', count: 300 }]);
  });

  it('resolves each request once while four processes recover the same 200', async () => {
    const { db, url } = database();
    const clock = movableClock();
    const mailbox = createMailbox();
    const asked: string[] = [];
    const resolve: ResolveRequest = async ({ challengeId, typed }) => {
      asked.push(challengeId);
      return Number(challengeId) % 2 === 0 ? codeMessage({ to: typed.value }) : undefined;
    };
    const numbers = Array.from({ length: 200 }, (_, i) => String(i));
    const author = outboxOn(db, clock, mailbox.transports);
    for (const challengeId of numbers) {
      await insert(db, clock, author.prepare(requestFor({ challengeId })));
    }
    clock.offsetMs += LEASE_SECONDS * 1000;
    await Promise.all(
      Array.from({ length: 4 }, async () => {
        await using pool = await openDatabase({ url }, { log: silentLog, maxConnections: 2 });
        const limits = { concurrency: 7 };
        await using outbox = outboxOn(pool.db, clock, mailbox.transports, limits, { resolve });
        while ((await outbox.recover()) > 0) await outbox.settled();
      }),
    );
    expect(asked.sort()).toEqual(numbers.sort());
    const { rows } = await sql`select state, count(*)::int as count from outbox
      where kind = 'sign_in_request' group by state order by state`.execute(db);
    expect(rows).toEqual([
      { state: 'dropped', count: 100 },
      { state: 'sent', count: 100 },
    ]);
    expect(mailbox.messages).toHaveLength(100);
  });

  it('lets nobody take a message whose lease another process holds', async () => {
    const { db, url } = database();
    const clock = movableClock();
    const mailbox = createMailbox();
    const release = mailbox.hang();
    await using slow = outboxOn(db, clock, mailbox.transports, { drainMs: 1 });
    await using pool = await openDatabase({ url }, { log: silentLog });
    await using other = outboxOn(pool.db, clock, mailbox.transports);
    const message = slow.prepare(codeMessage());
    await insert(db, clock, message);
    clock.offsetMs += LEASE_SECONDS * 1000;
    expect(await slow.recover()).toBe(1);
    release();
    expect(await other.recover()).toBe(0);
    clock.offsetMs += LEASE_SECONDS * 1000 - 1_000;
    expect(await other.recover()).toBe(0);
    clock.offsetMs += 2_000;
    expect(await other.recover()).toBe(1);
    await other.settled();
    expect(mailbox.messages).toHaveLength(1);
  });

  it('finds overdue messages by index among 50,000 finished ones', async () => {
    const { db } = database();
    await sql`insert into outbox (message_id, kind, channel, locale, state, due_at, expires_at, created_at, finished_at)
      select gen_random_uuid(), 'verification_code', 'sms', 'vi', 'sent', now(), now(), now(), now()
      from generate_series(1, 50000)`.execute(db);
    await sql`analyze outbox`.execute(db);
    const { rows } = await sql<{ 'QUERY PLAN': string }>`explain select message_id from outbox
      where state = 'queued' and due_at <= (select clock_timestamp()) and expires_at > (select clock_timestamp())
      order by due_at limit 16 for update skip locked`.execute(db);
    const plan = rows.map((row) => row['QUERY PLAN']).join('\n');
    expect(plan).toContain('outbox_due');
    expect(plan).not.toContain('Seq Scan');
  });
});
