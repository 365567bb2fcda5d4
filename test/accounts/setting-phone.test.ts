import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eachDatabase } from '../support/databases.js';
import { signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { identifiersOf, member, prove, signsInTo } from './changes.js';
import {
  addressesOf,
  claimant,
  codeFor,
  delivered,
  email,
  type House,
  holder,
  messagesTo,
  openHouse,
  present,
  refusalOf,
  sms,
} from './house.js';
import { grown, rowCounts } from './rows.js';

const phone = (value: string, state: string, sign_in_enabled = state === 'verified') => ({
  type: 'phone',
  value,
  state,
  sign_in_enabled,
});

eachDatabase('setting the phone number', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const set = (to: string, options: { readonly accessToken: string }, region?: string) =>
    app.auth.setPhoneNumber({ phoneNumber: to, region }, options);

  it('replaces the number at once by one that is not proven, and frees the old one (V4)', async () => {
    const person = await holder(app, sms);
    const next = unique.phone();
    const { account } = await set(next, person.session);
    expect(account?.identifiers[1]).toMatchObject({
      value: next,
      verified: false,
      signInEnabled: false,
      verifyTime: undefined,
    });
    expect(await addressesOf(app, person.accountId)).toEqual([phone(next, 'claimed')]);
    expect(await signsInTo(app, person.address)).toBeUndefined();
    expect(await signsInTo(app, next)).toBeUndefined();
    expect(await messagesTo(app, next)).toEqual([]);
    expect((await holder(app, sms, person.address)).accountId).not.toBe(person.accountId);
    app.clock.advance({ seconds: 61 });
    await sms.send(app, person.session);
    await sms.confirm(app, { code: await codeFor(app, next) }, person.session);
    expect(await signsInTo(app, next)).toBe(person.accountId);
  });

  it.each(['lapsed', 'contact', 'disputed'])('replaces one in state %s as well', async (state) => {
    const person = await holder(app, sms);
    await sql`update identifiers set state = ${state}, sign_in_enabled = false
      where account_id = ${person.accountId}::uuid and type = 'phone'`.execute(app.db);
    const next = unique.phone();
    await set(next, person.session);
    expect(await addressesOf(app, person.accountId)).toEqual([phone(next, 'claimed')]);
  });

  it('claims a first number, and replaces a claim by another', async () => {
    const person = await signUp(app);
    const [first, second] = [unique.phone(), unique.phone()];
    await set(first, person);
    expect(await addressesOf(app, person.accountId)).toEqual([phone(first, 'claimed')]);
    const { account } = await set(second, person);
    expect(account?.identifiers.map(({ value }) => value)).toEqual([person.username, second]);
    expect(await addressesOf(app, person.accountId)).toEqual([phone(second, 'claimed')]);
  });

  it('kills the codes that wait for another number, by session and by handle (V4, rule 6)', async () => {
    const person = await holder(app, sms);
    app.clock.advance({ seconds: 61 });
    const pending = unique.phone();
    const { challengeId } = await sms.send(app, person.session, pending);
    const code = await codeFor(app, pending);
    const next = unique.phone();
    await set(next, person.session);
    for (const session of [person.session, undefined])
      expect((await refusalOf(sms.confirm(app, { challengeId, code }, session))).reason).toBe(
        'CODE_EXPIRED',
      );
    expect(await addressesOf(app, person.accountId)).toEqual([phone(next, 'claimed')]);
  });

  it('leaves the codes of the email alone', async () => {
    const person = await claimant(app, email);
    await set(unique.phone(), person.session);
    await email.confirm(app, person);
    expect(await signsInTo(app, person.address)).toBe(person.accountId);
  });

  it('leaves the cooldown of the channel as it is: setting is no way round it (T1)', async () => {
    const person = await claimant(app, sms);
    const next = unique.phone();
    await set(next, person.session);
    expect((await refusalOf(sms.send(app, person.session))).reason).toBe('RESEND_TOO_SOON');
    expect(await messagesTo(app, next)).toEqual([]);
  });

  describe('to the number that the account has', () => {
    it('changes nothing about one that is held, nor about a pending change (V4)', async () => {
      const person = await holder(app, sms);
      const pending = unique.phone();
      app.clock.advance({ seconds: 61 });
      await sms.send(app, person.session, pending);
      await delivered(app);
      const before = [await identifiersOf(app, person.accountId), await rowCounts(app.db)] as const;
      const { account } = await set(person.address, person.session);
      expect(account).toEqual((await app.auth.getAccount({}, person.session)).account);
      expect(account?.identifiers[1]).toMatchObject({ value: person.address, verified: true });
      expect(await identifiersOf(app, person.accountId)).toEqual(before[0]);
      expect(grown(before[1], await rowCounts(app.db))).toEqual({});
      await sms.confirm(app, { code: await codeFor(app, pending) }, person.session);
    });

    it('changes nothing about one that is claimed and alone: its code lives', async () => {
      const person = await claimant(app, sms);
      const before = await rowCounts(app.db);
      const { account } = await set(person.address, person.session);
      expect(account?.etag).toBe(person.response.account?.etag);
      expect(grown(before, await rowCounts(app.db))).toEqual({});
      await sms.confirm(app, person, person.session);
    });

    it('drops the held one where another is claimed, whose code lives: it was sent to this number', async () => {
      const person = await holder(app, sms);
      const next = unique.phone();
      app.clock.advance({ seconds: 61 });
      await sms.send(app, person.session, next);
      const code = await codeFor(app, next);
      await set(next, person.session);
      expect(await addressesOf(app, person.accountId)).toEqual([phone(next, 'claimed')]);
      expect(await signsInTo(app, person.address)).toBeUndefined();
      await sms.confirm(app, { code }, person.session);
      expect(await signsInTo(app, next)).toBe(person.accountId);
    });
  });

  it('takes a number that another account holds like any other: only its prover is told (V6)', async () => {
    const [owner, person] = [await holder(app, sms), await signUp(app)];
    await set(owner.address, person);
    expect(await addressesOf(app, person.accountId)).toEqual([phone(owner.address, 'claimed')]);
    expect((await refusalOf(prove(app, sms, person, owner.address))).reason).toBe(
      'IDENTIFIER_TAKEN',
    );
    expect(await signsInTo(app, owner.address)).toBe(owner.accountId);
  });

  it('takes at most 20 claims on one number: the oldest falls', async () => {
    const to = unique.phone();
    const people = [];
    for (let n = 0; n < 21; n += 1) {
      const person = await signUp(app);
      await set(to, person);
      people.push(person.accountId);
    }
    expect(await addressesOf(app, people[0] ?? '')).toEqual([]);
    expect(await addressesOf(app, people[1] ?? '')).toHaveLength(1);
    expect(await addressesOf(app, people[20] ?? '')).toHaveLength(1);
  });

  it('never takes the last way in, a lapsed one included (rule 13)', async () => {
    const person = await member(app);
    await sql`update accounts set password_hash = null
      where account_id = ${person.accountId}::uuid`.execute(app.db);
    for (const state of ['verified', 'lapsed']) {
      await sql`update identifiers set state = ${state}
        where account_id = ${person.accountId}::uuid and type = 'phone'`.execute(app.db);
      const before = await identifiersOf(app, person.accountId);
      expect(await refusalOf(set(unique.phone(), person))).toMatchObject({
        reason: 'LAST_SIGN_IN_METHOD',
        codeName: 'FAILED_PRECONDITION',
      });
      expect(await identifiersOf(app, person.accountId)).toEqual(before);
    }
  });

  it('brings a number to E.164 before it is compared with the one at hand (V2)', async () => {
    const person = await signUp(app, { phoneNumber: '+84912345111' });
    const { account } = await set('091 234 5111', person, 'vn');
    expect(account?.etag).toBe(person.response.account?.etag);
    await set('(020) 7946 0958', person, 'GB');
    expect(await addressesOf(app, person.accountId)).toEqual([phone('+442079460958', 'claimed')]);
    await using vietnamese = await house.open({ DEFAULT_REGION: 'VN' });
    const answer = await vietnamese.auth.setPhoneNumber({ phoneNumber: '0912 345 222' }, person);
    expect(present(answer.account).identifiers[1]?.value).toBe('+84912345222');
  });

  it.each(['', '0912345678', '+84 12', 'phone', '+44 900 123 4567'])(
    'refuses what is no number of a person: %j (PHONE_INVALID)',
    async (typed) => {
      const person = await claimant(app, sms);
      expect(await refusalOf(set(typed, person.session))).toMatchObject({
        reason: 'PHONE_INVALID',
        violations: [{ field: 'phone_number' }],
      });
      expect(await addressesOf(app, person.accountId)).toMatchObject([{ value: person.address }]);
    },
  );
});
