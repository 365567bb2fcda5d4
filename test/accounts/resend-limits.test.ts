import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { eachDatabase } from '../support/databases.js';
import { unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import {
  type Claimant,
  claimant,
  delivered,
  email,
  type House,
  messagesTo,
  newCaller,
  openHouse,
  refusalOf,
} from './house.js';
import { resend } from './resending.js';
import { grown, rowCounts } from './rows.js';

/** T1, T4, T5: what strangers may make this RPC send, and how it tells them to wait. */
eachDatabase('the limits of sending a confirmation again', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = await house.open({}, { callerKey: await newCaller(house.app) });
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const from = (host: number) => ({ clientAddress: `198.51.100.${host}` });
  const waiting = async (on = app): Promise<Claimant> => {
    const person = await claimant(on, email);
    app.clock.advance({ seconds: 61 });
    return person;
  };

  it.each(['an address that somebody claims', 'an address never seen'])(
    'one flow for %s and source within the cooldown; the next begins and sends nothing yet',
    async (which) => {
      const known = which === 'an address that somebody claims';
      const address = known ? (await waiting()).address : unique.email();
      const first = await resend(app, address, undefined, from(1));
      expect(first.retryAfter).toBeUndefined();
      app.clock.advance({ seconds: 20 });
      await delivered(app);
      const before = { rows: await rowCounts(app.db), mail: await messagesTo(app, address) };
      const held = await resend(app, address, undefined, from(1));
      expect(held.challengeId).not.toBe(first.challengeId);
      expect(held.retryAfter).toBeGreaterThan(35);
      expect(held.retryAfter).toBeLessThanOrEqual(40);
      expect(grown(before.rows, await rowCounts(app.db))).toEqual({ challenges: 1 });
      expect(await messagesTo(app, address)).toEqual(before.mail);
      // Somebody else's wait is their own, and so is that for another address.
      expect((await resend(app, address, undefined, from(2))).retryAfter).toBeUndefined();
      expect((await resend(app, unique.email(), undefined, from(1))).retryAfter).toBeUndefined();
      await delivered(app);
      app.clock.advance({ seconds: 41 });
      const again = await resend(app, address, held.challengeId, from(1));
      expect(again).toMatchObject({ challengeId: held.challengeId, retryAfter: undefined });
    },
  );

  it('the handle of a claim is not held back by what strangers on its network asked for', async () => {
    const person = await waiting();
    await resend(app, person.address, undefined, from(3));
    expect((await resend(app, person.address, undefined, from(3))).retryAfter).toBeDefined();
    const sent = await resend(app, person.address, person.challengeId, from(3));
    expect(sent.retryAfter).toBeUndefined();
    await delivered(app);
    await email.confirm(app, { ...sent, code: app.mailbox.codeFor(person.address) });
  });

  it('the cooldown of a flow is hard: it holds with every soft limit out of the way', async () => {
    const address = unique.email();
    const { challengeId } = await resend(app, address, undefined, from(4));
    await delivered(app);
    app.clock.advance({ seconds: 25 });
    const before = await rowCounts(app.db);
    const held = await resend(app, address, challengeId, from(5));
    expect(held.challengeId).toBe(challengeId);
    expect(held.retryAfter).toBeGreaterThan(30);
    expect(held.retryAfter).toBeLessThanOrEqual(35);
    expect(grown(before, await rowCounts(app.db))).toEqual({});
  });

  it('made-up handles are no way around: none of them sends at once', async () => {
    const person = await waiting();
    for (let i = 0; i < 5; i += 1) {
      const held = await resend(app, person.address, randomUUID(), from(6));
      expect(held.retryAfter).toBeGreaterThan(55);
    }
    expect(await messagesTo(app, person.address)).toHaveLength(1);
  });

  it('RATE_LIMITED beyond the cap of an address, seen or never seen, and what was held back costs nothing', async () => {
    const capped = await house.open({ LIMIT_SENDS_PER_ADDRESS_SHORT: '3/1h' });
    const person = await waiting(capped);
    for (const [address, left] of [
      [person.address, 2],
      [unique.email(), 3],
    ] as const) {
      for (let sent = 1; sent < left; sent += 1) {
        const { challengeId } = await resend(capped, address);
        for (let held = 0; held < 4; held += 1) {
          expect((await resend(capped, address, challengeId)).retryAfter).toBeDefined();
        }
      }
      await resend(capped, address);
      const refused = await refusalOf(resend(capped, address));
      expect(refused).toMatchObject({ reason: 'RATE_LIMITED', codeName: 'RESOURCE_EXHAUSTED' });
      expect(refused.retryAfter).toBeGreaterThan(3_400);
      expect((await refusalOf(resend(capped, address, person.challengeId))).reason).toBe(
        'RATE_LIMITED',
      );
    }
  });

  it('a void challenge for everybody where admission is exhausted: nothing behind it, and the wait', async () => {
    const full = await house.open({ LIMIT_ANONYMOUS_IN_ALL: '1/1h' });
    const person = await waiting(full);
    const real = await resend(full, unique.email());
    await delivered(full);
    const before = await rowCounts(full.db);
    const asked = [
      await resend(full, person.address, person.challengeId),
      await resend(full, person.address),
      await resend(full, unique.email()),
      await resend(full, unique.email(), randomUUID()),
    ];
    await delivered(full);
    expect(grown(before, await rowCounts(full.db))).toEqual({});
    for (const answer of asked) {
      expect(answer.retryAfter).toBeGreaterThan(3_500);
      expect(Object.keys(answer)).toEqual(Object.keys(real));
      expect(answer.challengeId).toMatch(/^[0-9a-f-]{36}$/);
      const confirmed = full.auth.confirmEmail({ challengeId: answer.challengeId, code: '123456' });
      expect((await refusalOf(confirmed)).reason).toBe('CODE_EXPIRED');
    }
    const { rows } = await sql`select from challenges
      where challenge_id = any(${asked.map(({ challengeId }) => challengeId)}::uuid[])`.execute(
      full.db,
    );
    expect(rows).toEqual([]);
    // What was sent before still proves the claim.
    await email.confirm(full, person);
  });
});
