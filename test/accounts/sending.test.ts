import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';
import { createSweepingWorker, createSweeps } from '../../src/workers/index.js';
import { eachDatabase, silentLog } from '../support/databases.js';
import { PASSWORD, signUp } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import {
  addressesOf,
  budgets,
  channels,
  claimant,
  codeFor,
  delivered,
  email,
  type House,
  holder,
  messagesTo,
  newCaller,
  openHouse,
  refusalOf,
  sms,
} from './house.js';
import { grown, rowCounts } from './rows.js';

eachDatabase('sending a verification code', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const sweep = async () => {
    const { db, clock } = app;
    await using worker = createSweepingWorker({
      db,
      clock,
      random: systemRandom,
      log: silentLog,
      sweeps: createSweeps(silentLog),
    });
    await worker.runOnce();
  };

  describe.each(channels)('by $channel', (on) => {
    const other = on === email ? sms : email;

    it('refuses within the cooldown: RESEND_TOO_SOON with the wait that is left, and nothing sent (T1, T4)', async () => {
      const person = await claimant(app, on);
      const before = await rowCounts(app.db);
      const early = await refusalOf(on.send(app, person.session));
      expect(early).toMatchObject({ reason: 'RESEND_TOO_SOON', codeName: 'RESOURCE_EXHAUSTED' });
      expect(early.retryAfter).toBeGreaterThan(50);
      expect(early.retryAfter).toBeLessThanOrEqual(60);
      app.clock.advance({ seconds: 40 });
      const later = await refusalOf(on.send(app, person.session));
      expect(later.retryAfter).toBeGreaterThan(10);
      expect(later.retryAfter).toBeLessThanOrEqual(20);
      expect(grown(before, await rowCounts(app.db))).toEqual({});
      // The code that was sent still works: a refused send supersedes nothing.
      await on.confirm(app, person, person.session);
      expect(await messagesTo(app, person.address)).toHaveLength(1);
    });

    it('sends again when the wait is over, and waits again from there', async () => {
      const person = await claimant(app, on);
      app.clock.advance({ seconds: 61 });
      const challenge = await on.send(app, person.session);
      expect(challenge.resendTime?.getTime()).toBeGreaterThan(app.clock.now().getTime() + 50_000);
      expect(await messagesTo(app, person.address)).toHaveLength(2);
      expect(await refusalOf(on.send(app, person.session))).toMatchObject({
        reason: 'RESEND_TOO_SOON',
      });
    });

    it('cools down per channel: the other one is free (T1)', async () => {
      const person = await claimant(app, on);
      const to = other.address();
      await other.send(app, person.session, to);
      expect(await messagesTo(app, to)).toHaveLength(1);
    });

    it('cools down per account and channel whatever the address is (T1)', async () => {
      const person = await claimant(app, on);
      const refused = await refusalOf(on.send(app, person.session, on.address()));
      expect(refused.reason).toBe('RESEND_TOO_SOON');
      expect(await addressesOf(app, person.accountId)).toMatchObject([
        { value: person.address, state: 'claimed' },
      ]);
    });

    it('refuses a bare request of an account where nothing waits (FIELD_INVALID)', async () => {
      const { accessToken } = await signUp(app);
      const before = await rowCounts(app.db);
      expect(await refusalOf(on.send(app, { accessToken }))).toMatchObject({
        reason: 'FIELD_INVALID',
        violations: [{ field: on.field }],
      });
      expect(grown(before, await rowCounts(app.db))).toEqual({});
    });

    it('repeats nothing for a request_id: the same challenge, no message, the same code', async () => {
      const { accountId, accessToken } = await signUp(app);
      const [to, requestId] = [on.address(), randomUUID()];
      const first = await on.send(app, { accessToken }, to, requestId);
      const code = await codeFor(app, to);
      const before = await rowCounts(app.db);
      for (const seconds of [0, 30, 61]) {
        app.clock.advance({ seconds });
        expect(await on.send(app, { accessToken }, to, requestId)).toEqual(first);
      }
      await delivered(app);
      expect(grown(before, await rowCounts(app.db))).toEqual({});
      await on.confirm(app, { code }, { accessToken });
      expect(await addressesOf(app, accountId)).toMatchObject([{ state: 'verified' }]);
    });

    it('repeats a bare request too', async () => {
      const person = await claimant(app, on);
      const requestId = randomUUID();
      app.clock.advance({ seconds: 61 });
      const first = await on.send(app, person.session, undefined, requestId);
      await delivered(app);
      expect(await on.send(app, person.session, undefined, requestId)).toEqual(first);
      expect(await messagesTo(app, person.address)).toHaveLength(2);
    });

    it('refuses a request_id that named another address or another account: REQUEST_ID_REUSED', async () => {
      const [one, two] = [await signUp(app), await signUp(app)];
      const [to, requestId] = [on.address(), randomUUID()];
      await on.send(app, one, to, requestId);
      await delivered(app);
      app.clock.advance({ seconds: 61 });
      const before = await rowCounts(app.db);
      const another = on.address();
      for (const [person, address] of [
        [one, another],
        [two, to],
      ] as const) {
        expect(await refusalOf(on.send(app, person, address, requestId))).toMatchObject({
          reason: 'REQUEST_ID_REUSED',
          codeName: 'ABORTED',
        });
      }
      expect(grown(before, await rowCounts(app.db))).toEqual({});
    });

    it('keeps a request_id for one RPC and one caller, for 24 hours', async () => {
      const person = await signUp(app);
      const [to, requestId] = [on.address(), randomUUID()];
      await on.send(app, person, to, requestId);
      await other.send(app, person, other.address(), requestId);
      const callerKey = await newCaller(app);
      await delivered(app);
      app.clock.advance({ seconds: 61 });
      await on.send({ ...app, auth: app.connect({ callerKey }) }, person, to, requestId);
      expect(await messagesTo(app, to)).toHaveLength(2);
      app.clock.advance({ minutes: 24 * 60 });
      const again = await app.auth.signIn({ identifier: person.username, password: PASSWORD });
      await on.send(app, { accessToken: again.tokens?.accessToken }, to, requestId);
      expect(await messagesTo(app, to)).toHaveLength(3);
    });

    it('does not spend a request_id on a send that was refused', async () => {
      const person = await claimant(app, on);
      const requestId = randomUUID();
      expect(await refusalOf(on.send(app, person.session, undefined, requestId))).toMatchObject({
        reason: 'RESEND_TOO_SOON',
      });
      app.clock.advance({ seconds: 61 });
      await on.send(app, person.session, undefined, requestId);
      expect(await messagesTo(app, person.address)).toHaveLength(2);
    });

    it('asks who starts a change to have signed in within 10 minutes: REAUTHENTICATION_REQUIRED (rule 12)', async () => {
      const person = await claimant(app, on);
      app.clock.advance({ minutes: 11 });
      const before = await rowCounts(app.db);
      const refused = await refusalOf(on.send(app, person.session, on.address()));
      expect(refused).toMatchObject({
        reason: 'REAUTHENTICATION_REQUIRED',
        codeName: 'FAILED_PRECONDITION',
      });
      expect(grown(before, await rowCounts(app.db))).toEqual({});
      // Proving what is already on the account is exempt, named or not.
      await on.send(app, person.session, person.address);
      await delivered(app);
      app.clock.advance({ seconds: 61 });
      await on.send(app, person.session);
      await on.confirm(app, { code: await codeFor(app, person.address) }, person.session);
      // Refreshing is no authentication; signing in again is.
      const { tokens } = await app.auth.refreshSession({ refreshToken: person.refreshToken });
      app.clock.advance({ seconds: 61 });
      const fresh = { accessToken: tokens?.accessToken };
      expect(await refusalOf(on.send(app, fresh, on.address()))).toMatchObject({
        reason: 'REAUTHENTICATION_REQUIRED',
      });
      const again = await app.auth.signIn({ identifier: person.username, password: PASSWORD });
      await on.send(app, { accessToken: again.tokens?.accessToken }, on.address());
    });

    it('takes at most 20 claims on one address: the oldest falls', async () => {
      const to = on.address();
      const people = [];
      for (let n = 0; n < 21; n += 1) people.push(await signUp(app, on.claim(to)));
      const { rows } = await sql<{ account_id: string }>`select account_id from identifiers
        where type = ${on.type} and value = ${to} order by created_at`.execute(app.db);
      expect(rows.map((row) => row.account_id)).toEqual(
        people.slice(1).map((person) => person.accountId),
      );
      await delivered(app);
      // Whose claim fell has lost nothing but the claim: a new send claims again.
      app.clock.advance({ seconds: 61 });
      const [first] = people;
      await on.send(app, { accessToken: first?.accessToken }, to);
      expect(await addressesOf(app, first?.accountId ?? '')).toMatchObject([
        { value: to, state: 'claimed' },
      ]);
    });

    it('lets a claim fall after 7 days without a live code, by the sweeping worker', async () => {
      const [left, kept] = [await claimant(app, on), await claimant(app, on)];
      const held = await holder(app, on);
      app.clock.advance({ days: 6, minutes: 23 * 60 + 58 });
      await sweep();
      expect(await addressesOf(app, left.accountId)).toHaveLength(1);
      const { tokens } = await app.auth.signIn({ identifier: kept.username, password: PASSWORD });
      await on.send(app, { accessToken: tokens?.accessToken }, kept.address);
      const code = await codeFor(app, kept.address);
      app.clock.advance({ minutes: 3 });
      await sweep();
      expect(await addressesOf(app, left.accountId)).toEqual([]);
      expect(await addressesOf(app, held.accountId)).toMatchObject([{ state: 'verified' }]);
      await on.confirm(app, { code }, { accessToken: tokens?.accessToken });
      expect(await addressesOf(app, kept.accountId)).toMatchObject([
        { value: kept.address, state: 'verified' },
      ]);
    });

    it.each([
      ['the locale of the account, whatever the call says', 'vi', 'en', 'vi'],
      ['accept-language where the account has chosen none', undefined, 'vi-VN, en;q=0.4', 'vi'],
      ['English where nobody says anything', undefined, undefined, 'en'],
    ])('speaks %s (M3)', async (_, locale, acceptLanguage, expected) => {
      const { accessToken } = await signUp(app, { locale });
      const to = on.address();
      await on.send(app, { accessToken, acceptLanguage }, to);
      const [message] = await messagesTo(app, to);
      expect(message?.locale).toBe(expected);
      expect(message?.text).toMatch(
        expected === 'vi' ? /mã xác thực/i : /is your Countersign code|Your Countersign code is/,
      );
    });

    it('sends the same to an address that another account holds: nothing tells them apart (V6)', async () => {
      const owner = await holder(app, on);
      const [one, two] = [await signUp(app), await signUp(app)];
      const charged = await budgets(app);
      const taken = await on.send(app, one, owner.address);
      const free = await on.send(app, two, on.address());
      expect(Object.keys(taken)).toEqual(Object.keys(free));
      expect(await budgets(app)).toEqual(charged);
      expect(await messagesTo(app, owner.address)).toHaveLength(2);
    });
  });
});
