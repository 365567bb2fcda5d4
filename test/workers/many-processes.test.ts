import { sql } from 'kysely';
import { expect, it } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';
import { type Database, openDatabase } from '../../src/db/index.js';
import { createSigningKeys } from '../../src/sessions/index.js';
import {
  createDeliveryWorker,
  createKeyRotationWorker,
  createSweepingWorker,
  createSweeps,
  type Worker,
} from '../../src/workers/index.js';
import { codeMessage, insert, movableClock, outboxOn } from '../delivery/fixtures.js';
import { newTokenKeys } from '../sessions/fixtures.js';
import { describePostgres, silentLog } from '../support/databases.js';
import { createMailbox } from '../support/mailbox.js';

const PROCESSES = 5;
const MESSAGES = 60;
const DEAD_ROWS = 1_500;

describePostgres('the background work of many processes', (database) => {
  it('sends nothing twice, deletes what is dead, and gets into nobody’s way', async () => {
    const { db, url } = database();
    const clock = movableClock();
    const mailbox = createMailbox();
    const faults: unknown[] = [];
    const log = { ...silentLog, error: (fields: object) => void faults.push(fields) };
    const tokenKeys = newTokenKeys();
    const deps = { clock, random: systemRandom, tokenKeys, log };
    await using _keys = await createSigningKeys({ db, ...deps });
    await sql`insert into challenges (challenge_id, purpose, channel, caller, address_subject,
        destination_sealed, code_hash, long_code, proof_epoch, issued_at, expires_at, resend_at)
      select gen_random_uuid(), 'reset', 'sms', '', '', '', '', false, 0, now(), now() - interval '2 days', now()
      from generate_series(1, ${DEAD_ROWS})`.execute(db);
    await sql`insert into outbox
        (message_id, kind, channel, locale, state, due_at, expires_at, created_at, finished_at)
      select gen_random_uuid(), 'verification_code', 'sms', 'vi', 'sent', now(), now(), now(), now() - interval '8 days'
      from generate_series(1, ${DEAD_ROWS})`.execute(db);

    const pools: Database[] = [];
    const processes = await Promise.all(
      Array.from({ length: PROCESSES }, async () => {
        const pool = await openDatabase({ url }, { log: silentLog, maxConnections: 3 });
        pools.push(pool);
        const outbox = outboxOn(pool.db, clock, mailbox.transports);
        const each = { ...deps, db: pool.db };
        const workers: readonly Worker[] = [
          createDeliveryWorker({ ...each, outbox, intervalMs: 2 }),
          createSweepingWorker({ ...each, sweeps: createSweeps(log), intervalMs: 5 }),
          createKeyRotationWorker({ ...each, lifetimeSeconds: 86_400, intervalMs: 5 }),
        ];
        for (const worker of workers) worker.start();
        return { db: pool.db, outbox, workers };
      }),
    );
    const numbers: string[] = [];
    // Half of them are sent by whoever inserted them, as calls do; half are left to the others.
    await Promise.all(
      processes.map(async ({ db: own, outbox }, index) => {
        for (let i = 0; i < MESSAGES; i += 1) {
          const to = `+8490${1_000_000 + index * MESSAGES + i}`;
          const message = outbox.prepare(codeMessage({ to, lifetimeSeconds: 3_600 }));
          numbers.push(to);
          await insert(own, clock, message);
          if (i % 2 === 0) outbox.dispatch([message]);
        }
      }),
    );
    for (const { outbox } of processes) await outbox.settled();
    // The leases of those who did not send end.
    clock.offsetMs += 31_000;
    for (const to of numbers) await mailbox.waitFor((message) => message.to === to);
    for (const { workers } of processes) {
      for (const worker of workers) await worker.runOnce();
    }
    for (const { workers, outbox } of processes) {
      for (const worker of workers) await worker[Symbol.asyncDispose]();
      await outbox[Symbol.asyncDispose]();
    }
    expect(mailbox.messages.map(({ to }) => to).toSorted()).toEqual(numbers.toSorted());
    expect(faults).toEqual([]);
    const { rows } = await sql`select
        (select count(*) from challenges) as challenges,
        (select count(*) from outbox where finished_at < now() - interval '7 days') as outbox,
        (select count(*) from outbox where state = 'queued') as queued`.execute(db);
    expect(rows).toEqual([{ challenges: 0, outbox: 0, queued: 0 }]);
    for (const pool of pools) await pool[Symbol.asyncDispose]();
  });
});
