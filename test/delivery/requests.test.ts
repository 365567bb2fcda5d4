import { sql } from 'kysely';
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest';
import {
  type DeliveryRequest,
  LEASE_SECONDS,
  type OutgoingMessage,
  type RequestKind,
  type ResolveRequest,
} from '../../src/delivery/index.js';
import { eachDatabase, silentLog } from '../support/databases.js';
import { createMailbox, type Mailbox } from '../support/mailbox.js';
import {
  codeMessage,
  counted,
  insert,
  type MovableClock,
  movableClock,
  observed,
  outboxOn,
  requestFor,
  rowOf,
} from './fixtures.js';

const LEASE_MS = LEASE_SECONDS * 1000;
const KINDS: readonly RequestKind[] = ['sign_in_request', 'reset_request', 'confirmation_request'];

eachDatabase('requests in the outbox', (database) => {
  let mailbox: Mailbox;
  let clock: MovableClock;

  beforeEach(async () => {
    await sql`delete from outbox`.execute(database().db);
    mailbox = createMailbox();
    clock = movableClock();
  });

  /** An outbox whose requests come to what `resolve` says, and the requests that it was asked about. */
  function resolving(
    resolve: (attempt: number, signal: AbortSignal) => ReturnType<ResolveRequest>,
    limits: Parameters<typeof outboxOn>[3] = {},
  ) {
    const asked: DeliveryRequest[] = [];
    const { observer, seen } = observed();
    const outbox = outboxOn(database().db, clock, mailbox.transports, limits, {
      observer,
      resolve: (request, signal) => resolve(asked.push(request), signal),
    });
    return { outbox, asked, seen };
  }

  async function queue(outbox: ReturnType<typeof outboxOn>, request = requestFor()) {
    const prepared = outbox.prepare(request);
    await insert(database().db, clock, prepared);
    return prepared;
  }

  it.each(KINDS)('asks what is due for a %s only at the moment of sending', async (kind) => {
    const { db } = database();
    const { outbox, asked } = resolving(async () => codeMessage());
    await using _ = outbox;
    const request = requestFor({ kind });
    const prepared = await queue(outbox, request);
    expect(asked).toEqual([]);
    outbox.dispatch([prepared]);
    await outbox.settled();
    expect(asked).toEqual([request]);
    expect(mailbox.codeFor('+84901234567')).toBe('493021');
    expect(await rowOf(db, clock, prepared.id)).toMatchObject({
      state: 'sent',
      payload_sealed: null,
      finished_at: expect.any(Date),
    });
  });

  describe('begins on none in the moment of its call (rule 9)', () => {
    afterEach(() => vi.useRealTimers());

    it('but on each after a pause of its own, of 25 to 125 ms', async () => {
      const { outbox, asked } = resolving(async () => undefined, { concurrency: 50 });
      await using _ = outbox;
      const prepared = [];
      for (let n = 0; n < 50; n += 1) prepared.push(await queue(outbox));
      vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] });
      outbox.dispatch(prepared);
      const begun: number[] = [];
      for (let ms = 0; ms < 126; ms += 1) {
        begun.push(asked.length);
        vi.advanceTimersByTime(1);
      }
      expect(begun[24]).toBe(0);
      // Drawn, and not the same for all.
      expect(begun[75]).toBeGreaterThan(5);
      expect(begun[75]).toBeLessThan(45);
      expect(asked).toHaveLength(50);
      vi.useRealTimers();
      await outbox.settled();
      expect(outbox.figures().queued).toBe(0);
    });

    it('and holds no more than may wait: the rest is left to its row', async () => {
      const { outbox, asked } = resolving(async () => undefined, { queue: 2 });
      await using _ = outbox;
      const prepared = [await queue(outbox), await queue(outbox), await queue(outbox)];
      outbox.dispatch(prepared);
      expect(outbox.figures().queued).toBe(2);
      await outbox.settled();
      expect(asked).toHaveLength(2);
    });

    it('and is not late for its own end', async () => {
      const { outbox, asked } = resolving(async () => undefined, { requestPauseLeastMs: 60_000 });
      outbox.dispatch([await queue(outbox)]);
      await outbox[Symbol.asyncDispose]();
      expect(asked).toHaveLength(1);
    });
  });

  it('sends by the way and in the language of what it came to (R3)', async () => {
    const mail = { ...codeMessage({ to: 'lan@example.vn' }), locale: 'vi' as const };
    const { outbox, seen } = resolving(async () => mail);
    await using _ = outbox;
    outbox.dispatch([await queue(outbox, requestFor({ channel: 'sms', locale: 'en' }))]);
    await outbox.settled();
    expect(mailbox.messages).toMatchObject([{ channel: 'email', locale: 'vi' }]);
    expect(seen).toEqual(['sent email']);
  });

  it('drops and scrubs the row where nothing is due, and never asks again (R4)', async () => {
    const { db } = database();
    const { outbox, asked, seen } = resolving(async () => undefined);
    await using _ = outbox;
    const prepared = await queue(outbox);
    outbox.dispatch([prepared]);
    await outbox.settled();
    expect(await rowOf(db, clock, prepared.id)).toMatchObject({
      state: 'dropped',
      attempts: 0,
      payload_sealed: null,
      last_error: null,
      finished_at: expect.any(Date),
    });
    clock.offsetMs += 2 * LEASE_MS;
    expect(await outbox.recover()).toBe(0);
    expect(asked).toHaveLength(1);
    expect(mailbox.attempts).toBe(0);
    expect(seen).toEqual(['dropped sms']);
  });

  it('writes what was sent and what was dropped in one statement', async () => {
    const { db, statements } = counted(database().db);
    const limits = { batch: 50, lingerMs: 200 };
    const resolve: ResolveRequest = async ({ challengeId }) =>
      challengeId === 'due' ? codeMessage() : undefined;
    await using outbox = outboxOn(db, clock, mailbox.transports, limits, { resolve });
    const prepared = Array.from({ length: 40 }, (_, i) =>
      outbox.prepare(requestFor({ challengeId: i % 4 === 0 ? 'due' : 'decoy' })),
    );
    for (const request of prepared) await insert(database().db, clock, request);
    outbox.dispatch(prepared);
    await outbox.settled();
    expect(statements).toHaveLength(1);
    const { rows } = await sql`select state, count(*)::int as rows from outbox
      group by state order by state`.execute(db);
    expect(rows).toEqual([
      { state: 'dropped', rows: 30 },
      { state: 'sent', rows: 10 },
    ]);
  });

  it('tries again where it could not be found out, and finds out anew', async () => {
    const { db } = database();
    const { outbox, asked, seen } = resolving(async (attempt) => {
      if (attempt === 1) throw new Error('no account for lan@example.vn');
      return codeMessage();
    });
    await using _ = outbox;
    const prepared = await queue(outbox);
    outbox.dispatch([prepared]);
    await outbox.settled();
    expect(await rowOf(db, clock, prepared.id)).toMatchObject({
      state: 'queued',
      attempts: 1,
      last_error: 'Error',
    });
    expect(mailbox.attempts).toBe(0);

    clock.offsetMs += 2_000;
    expect(await outbox.recover()).toBe(1);
    await outbox.settled();
    expect(asked).toEqual([requestFor(), requestFor()]);
    expect(await rowOf(db, clock, prepared.id)).toMatchObject({ state: 'sent', attempts: 1 });
    expect(seen).toEqual(['failed sms', 'sent sms']);
  });

  it('keeps nothing of an attempt that the provider refused: the next one is another code', async () => {
    const codes = ['111111', '222222'];
    const { outbox, seen } = resolving(async (attempt) => {
      const code = codes[attempt - 1];
      return codeMessage({ to: 'lan@example.vn', ...(code !== undefined && { code }) });
    });
    await using _ = outbox;
    mailbox.failNext(1);
    outbox.dispatch([await queue(outbox)]);
    await outbox.settled();
    clock.offsetMs += 2_000;
    await outbox.recover();
    await outbox.settled();
    expect(mailbox.messages).toHaveLength(1);
    expect(mailbox.codeFor('lan@example.vn')).toBe('222222');
    // Counted for the provider that refused it.
    expect(seen).toEqual(['failed email', 'sent email']);
  });

  it('drops at a later attempt what was due at an earlier one (R4)', async () => {
    const { outbox } = resolving(async (attempt) => (attempt === 1 ? codeMessage() : undefined));
    await using _ = outbox;
    mailbox.failNext(1);
    const prepared = await queue(outbox);
    outbox.dispatch([prepared]);
    await outbox.settled();
    clock.offsetMs += 2_000;
    await outbox.recover();
    await outbox.settled();
    expect(mailbox.messages).toEqual([]);
    expect(await rowOf(database().db, clock, prepared.id)).toMatchObject({ state: 'dropped' });
  });

  it('gives up on an answer that does not come, and sends nothing when it comes late', async () => {
    let answer: (message: OutgoingMessage) => void = () => {};
    const late = new Promise<OutgoingMessage>((resolve) => {
      answer = resolve;
    });
    const signals: AbortSignal[] = [];
    const { outbox } = resolving(
      (_, signal) => {
        signals.push(signal);
        return late;
      },
      { sendTimeoutMs: 30 },
    );
    await using _ = outbox;
    const prepared = await queue(outbox);
    outbox.dispatch([prepared]);
    await outbox.settled();
    expect(await rowOf(database().db, clock, prepared.id)).toMatchObject({
      state: 'queued',
      attempts: 1,
      last_error: 'SendTimeoutError',
    });
    expect(signals.map(({ aborted }) => aborted)).toEqual([true]);
    answer(codeMessage());
    await late;
    await new Promise(setImmediate);
    expect(mailbox.attempts).toBe(0);
  });

  it('gives resolving and sending one and the same time', async () => {
    const signals: AbortSignal[] = [];
    const hung = {
      send: (_: unknown, signal: AbortSignal) => {
        signals.push(signal);
        return new Promise<void>(() => {});
      },
    };
    const transports = { email: hung, sms: hung };
    const resolve: ResolveRequest = async (_, signal) => {
      signals.push(signal);
      return codeMessage();
    };
    const limits = { sendTimeoutMs: 30 };
    await using outbox = outboxOn(database().db, clock, transports, limits, { resolve });
    const prepared = await queue(outbox);
    outbox.dispatch([prepared]);
    await outbox.settled();
    expect(signals).toHaveLength(2);
    expect(signals[0]).toBe(signals[1]);
    expect(await rowOf(database().db, clock, prepared.id)).toMatchObject({
      attempts: 1,
      last_error: 'SendTimeoutError',
    });
  });

  it('gives a request back when the process ends while it is resolved', async () => {
    const { outbox } = resolving(() => new Promise(() => {}), { drainMs: 20 });
    const prepared = await queue(outbox);
    outbox.dispatch([prepared]);
    await outbox[Symbol.asyncDispose]();
    expect(await rowOf(database().db, clock, prepared.id)).toMatchObject({
      state: 'queued',
      last_error: 'SendAbortedError',
    });
  });

  it('is recovered by another process when the one that took the call has died (M4)', async () => {
    const died = resolving(async () => codeMessage());
    const request = requestFor({ kind: 'reset_request' });
    const prepared = await queue(died.outbox, request);
    const other = resolving(async () => codeMessage());
    await using _ = other.outbox;
    expect(await other.outbox.recover()).toBe(0);
    clock.offsetMs += LEASE_MS;
    expect(await other.outbox.recover()).toBe(1);
    await other.outbox.settled();
    expect(other.asked).toEqual([request]);
    expect(died.asked).toEqual([]);
    expect(mailbox.messages).toHaveLength(1);
    expect(await rowOf(database().db, clock, prepared.id)).toMatchObject({ state: 'sent' });
  });

  it('is never resolved once its lifetime is over, neither from memory nor by recovery', async () => {
    const { outbox, asked } = resolving(async () => codeMessage());
    await using _ = outbox;
    const prepared = await queue(outbox, requestFor({ lifetimeSeconds: 60 }));
    clock.offsetMs += 61_000;
    outbox.dispatch([prepared]);
    await outbox.settled();
    expect(await outbox.recover()).toBe(0);
    expect(await outbox.expire()).toBe(1);
    expect(asked).toEqual([]);
    expect(await rowOf(database().db, clock, prepared.id)).toMatchObject({
      state: 'expired',
      payload_sealed: null,
    });
  });

  it('sends nothing that expired while it was resolved (rule 22)', async () => {
    const { outbox } = resolving(async () => {
      clock.offsetMs += 60_000;
      return codeMessage();
    });
    await using _ = outbox;
    const prepared = await queue(outbox, requestFor({ lifetimeSeconds: 60 }));
    outbox.dispatch([prepared]);
    await outbox.settled();
    expect(mailbox.attempts).toBe(0);
    expect(await rowOf(database().db, clock, prepared.id)).toMatchObject({
      state: 'expired',
      payload_sealed: null,
    });
  });

  it('says of a code what is left of the time that its request had', async () => {
    const { outbox } = resolving(async (attempt) => {
      if (attempt === 1) throw new Error('not now');
      return codeMessage();
    });
    await using _ = outbox;
    outbox.dispatch([await queue(outbox, requestFor({ lifetimeSeconds: 300 }))]);
    await outbox.settled();
    clock.offsetMs += 200_000;
    await outbox.recover();
    await outbox.settled();
    expect(mailbox.messages[0]?.text).toContain('valid for 2 minutes');
  });

  it('holds in no column of its row what was typed, nor the flow, nor the call (rule 22)', async () => {
    const { outbox } = resolving(async () => undefined);
    await using _ = outbox;
    const request = requestFor({ typed: { type: 'email', value: 'lan@example.vn' } });
    await queue(outbox, request);
    const { rows } = await sql<{ text: string; bytes: Buffer }>`
      select o::text as text, payload_sealed as bytes from outbox o`.execute(database().db);
    expect(rows).toHaveLength(1);
    for (const secret of ['lan@example.vn', request.challengeId, request.caller]) {
      expect(rows[0]?.bytes.includes(secret)).toBe(false);
      expect(rows[0]?.text).not.toContain(secret);
      expect(rows[0]?.text).not.toContain(Buffer.from(secret).toString('hex'));
    }
  });

  it('logs a failure by the kind of the request, without what was typed (rule 22)', async () => {
    const lines: object[] = [];
    const log = { ...silentLog, warn: (fields: object) => void lines.push(fields) };
    const resolve = () => Promise.reject(new Error('lan@example.vn is unknown'));
    const rest = { log, resolve };
    await using outbox = outboxOn(database().db, clock, mailbox.transports, {}, rest);
    const prepared = await queue(outbox, requestFor({ kind: 'reset_request' }));
    outbox.dispatch([prepared]);
    await outbox.settled();
    expect(lines).toEqual([
      {
        messageId: prepared.id,
        kind: 'reset_request',
        channel: 'sms',
        accountId: undefined,
        attempts: 0,
        error: 'Error',
      },
    ]);
  });
});
