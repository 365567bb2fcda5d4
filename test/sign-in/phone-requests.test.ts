import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { Channel } from '../../generated/countersign/v1/challenge.js';
import {
  codeFor,
  delivered,
  type House,
  messagesTo,
  newCaller,
  openHouse,
  refusalOf,
} from '../accounts/house.js';
import { grown, rowCounts } from '../accounts/rows.js';
import { eachDatabase } from '../support/databases.js';
import { unique } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { ask, askForCode, signInByPhone } from './phone-house.js';

/** P2, P3, P6, T1, T4: what may be asked for, how often, and what is answered meanwhile. */
eachDatabase('RequestPhoneSignIn', (database) => {
  let house: House;
  let app: TestApp;
  let bff: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
    bff = await house.open({}, { callerKey: await newCaller(app) });
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const from = (host: number) => ({ clientAddress: `203.0.113.${host}` });

  it('answers with the flow, its number masked, and sends a code', async () => {
    const phone = unique.phone();
    const answer = await ask(app, phone);
    expect(answer).toMatchObject({ channel: Channel.SMS, retryAfter: undefined });
    expect(answer.maskedDestination).toMatch(/\d\d$/);
    expect(phone).not.toBe(answer.maskedDestination);
    expect(Number(answer.expireTime) - Number(answer.resendTime)).toBe(240_000);
    expect(await messagesTo(app, phone)).toHaveLength(1);
  });

  it.each([
    ['no number', ''],
    ['too short', '+84 12'],
    ['letters', '+84 91 CALL ME'],
    ['national, without a region', '0912345678'],
    ['premium-rate', '+449098790000'],
  ])('refuses %s by PHONE_INVALID, before any limit is charged (P2)', async (_, phoneNumber) => {
    const strict = await house.open({
      LIMIT_CALLS_PER_SOURCE: '1/1h',
      LIMIT_ANONYMOUS_IN_ALL: '1/1h',
    });
    const before = await rowCounts(app.db);
    for (let tries = 0; tries < 3; tries += 1) {
      const refused = await refusalOf(strict.auth.requestPhoneSignIn({ phoneNumber }));
      expect(refused.reason).toBe('PHONE_INVALID');
    }
    expect(grown(before, await rowCounts(app.db))).toEqual({});
    expect((await ask(strict, unique.phone())).retryAfter).toBeUndefined();
  });

  it('reads a national number by the region given, or by DEFAULT_REGION; refuses countries that are not allowed (P6)', async () => {
    const phone = unique.phone();
    const national = `0${phone.slice(3)}`;
    await app.auth.requestPhoneSignIn({ phoneNumber: national, region: 'VN' });
    expect(await messagesTo(app, phone)).toHaveLength(1);
    const vietnamese = await house.open({ DEFAULT_REGION: 'VN', SMS_ALLOWED_REGIONS: 'VN' });
    await vietnamese.auth.requestPhoneSignIn({ phoneNumber: national });
    expect(await messagesTo(app, phone)).toHaveLength(2);
    const abroad = vietnamese.auth.requestPhoneSignIn({ phoneNumber: '+12025550123' });
    expect((await refusalOf(abroad)).reason).toBe('PHONE_INVALID');
  });

  it('refuses what is no id, beside every other field that is wrong', async () => {
    const refused = await refusalOf(
      app.auth.requestPhoneSignIn({ phoneNumber: 'x', challengeId: 'mine', locale: '!' }),
    );
    expect(refused.violations.map(({ field }) => field)).toEqual(
      expect.arrayContaining(['phone_number', 'challenge_id', 'locale']),
    );
  });

  it('this flow, again: the same id, the old code dead, and after the cooldown alone (T1, T4)', async () => {
    const phone = unique.phone();
    const first = await askForCode(app, phone);
    app.clock.advance({ seconds: 20 });
    const held = await ask(app, phone, { challengeId: first.challengeId });
    expect(held.challengeId).toBe(first.challengeId);
    expect(held.retryAfter).toBeGreaterThan(30);
    expect(held.retryAfter).toBeLessThanOrEqual(40);
    const wait = Number(held.resendTime) - app.clock.now().getTime();
    expect(Math.abs(wait - Number(held.retryAfter) * 1_000)).toBeLessThan(3_000);
    expect(await messagesTo(app, phone)).toHaveLength(1);
    app.clock.advance({ seconds: 41 });
    const second = await askForCode(app, phone, { challengeId: first.challengeId });
    expect(second.challengeId).toBe(first.challengeId);
    expect(await messagesTo(app, phone)).toHaveLength(2);
    // One in a million, the two are equal.
    if (first.code !== second.code) {
      const refused = await refusalOf(app.auth.completePhoneSignIn(first));
      expect(refused.reason).toBe('CODE_INVALID');
    }
    expect((await app.auth.completePhoneSignIn(second)).isFirstSignIn).toBe(true);
  });

  it('a flow goes on after its code was used, with another code', async () => {
    const phone = unique.phone();
    const first = await askForCode(app, phone);
    const born = await app.auth.completePhoneSignIn(first);
    app.clock.advance({ seconds: 61 });
    const second = await askForCode(app, phone, { challengeId: first.challengeId });
    expect(second.challengeId).toBe(first.challengeId);
    expect(await app.auth.completePhoneSignIn(second)).toMatchObject({
      accountId: born.accountId,
      isFirstSignIn: false,
    });
  });

  it.each(["another number's", "another caller's", 'made up'])(
    'an id that is %s begins a flow that cools down first, and touches no other',
    async (whose) => {
      const phone = unique.phone();
      const other = unique.phone();
      const foreign = {
        "another number's": () => askForCode(app, other),
        "another caller's": () => askForCode(bff, phone, from(1)),
        'made up': async () => ({ challengeId: randomUUID(), code: '' }),
      }[whose];
      const theirs = (await foreign?.()) ?? { challengeId: '', code: '' };
      app.clock.advance({ seconds: 61 });
      const sent = (await messagesTo(app, phone)).length;
      const held = await ask(app, phone, { challengeId: theirs.challengeId });
      expect(held.challengeId).not.toBe(theirs.challengeId);
      expect(held.retryAfter).toBeGreaterThan(55);
      expect(await messagesTo(app, phone)).toHaveLength(sent);
      app.clock.advance({ seconds: 61 });
      const sentNow = await askForCode(app, phone, { challengeId: held.challengeId });
      expect(sentNow.challengeId).toBe(held.challengeId);
      if (theirs.code !== '') {
        const on = whose === "another caller's" ? bff : app;
        expect((await on.auth.completePhoneSignIn(theirs)).isFirstSignIn).toBe(true);
      }
      expect((await app.auth.completePhoneSignIn(sentNow)).accountId).toBeTruthy();
    },
  );

  it('outside a flow one source is held back for RESEND_COOLDOWN, per number; others are not', async () => {
    const slow = await house.open({ RESEND_COOLDOWN: '90s' }, { callerKey: await newCaller(app) });
    const phone = unique.phone();
    expect((await ask(slow, phone, from(9))).retryAfter).toBeUndefined();
    await codeFor(slow, phone);
    app.clock.advance({ seconds: 61 });
    const held = await ask(slow, phone, from(9));
    expect(held.retryAfter).toBeGreaterThan(20);
    expect(held.retryAfter).toBeLessThanOrEqual(29);
    expect(await messagesTo(slow, phone)).toHaveLength(1);
    expect((await ask(slow, phone, from(10))).retryAfter).toBeUndefined();
    expect((await ask(slow, unique.phone(), from(9))).retryAfter).toBeUndefined();
    await delivered(slow);
    app.clock.advance({ seconds: 30 });
    expect((await ask(slow, phone, from(9))).retryAfter).toBeUndefined();
  });

  it('RATE_LIMITED beyond the cap of a number, whoever asks; a number signed in from is known there', async () => {
    const capped = await house.open(
      { LIMIT_SENDS_PER_ADDRESS_SHORT: '2/1h', LIMIT_KNOWN_SENDS_PER_ADDRESS_SHORT: '2/1h' },
      { callerKey: await newCaller(app) },
    );
    const phone = unique.phone();
    await signInByPhone(capped, phone, from(20));
    await ask(capped, phone, from(21));
    const refused = await refusalOf(ask(capped, phone, from(22)));
    expect(refused).toMatchObject({ reason: 'RATE_LIMITED', codeName: 'RESOURCE_EXHAUSTED' });
    expect(refused.retryAfter).toBeGreaterThan(3_000);
    // Strangers used their share up; the person's own is another one.
    app.clock.advance({ seconds: 61 });
    expect((await ask(capped, phone, from(20))).retryAfter).toBeUndefined();
  });

  it('a void challenge for everybody where admission is exhausted: nothing behind it, and the wait', async () => {
    await using full = await startTestApp({ env: { LIMIT_ANONYMOUS_IN_ALL: '1/1h' } });
    const known = unique.phone();
    const real = await ask(full, known);
    await delivered(full);
    const before = await rowCounts(full.db);
    for (const [phone, challengeId] of [
      [known, real.challengeId],
      [known, undefined],
      [unique.phone(), undefined],
    ] as const) {
      const answer = await ask(full, phone, challengeId === undefined ? {} : { challengeId });
      expect(Object.keys(answer)).toEqual(Object.keys(real));
      expect(answer.retryAfter).toBeGreaterThan(3_500);
      expect(answer.challengeId).not.toBe(real.challengeId);
      const guess = { challengeId: answer.challengeId, code: '123456' };
      const refused = await refusalOf(full.auth.completePhoneSignIn(guess));
      expect(refused.reason).toBe('CODE_EXPIRED');
    }
    expect(grown(before, await rowCounts(full.db))).toEqual({});
  });

  it('a failed send is tried again with another code, and only that one works', async () => {
    const phone = unique.phone();
    app.mailbox.failNext(1);
    const { challengeId } = await ask(app, phone);
    const code = await codeFor(app, phone);
    const { rows } = await sql<{ attempts: number; state: string }>`
      select attempts, state from outbox where kind = 'sign_in_request' order by created_at desc limit 1`.execute(
      app.db,
    );
    expect(rows).toEqual([{ attempts: 1, state: 'sent' }]);
    expect((await app.auth.completePhoneSignIn({ challengeId, code })).isFirstSignIn).toBe(true);
  });
});
