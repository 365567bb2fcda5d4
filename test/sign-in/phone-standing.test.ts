import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  addressesOf,
  claimant,
  delivered,
  type House,
  holder,
  messagesTo,
  openHouse,
  refusalOf,
  sms,
} from '../accounts/house.js';
import { grown, rowCounts } from '../accounts/rows.js';
import { eachDatabase } from '../support/databases.js';
import { unique, wrongCode } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { ask, askForCode, changesOf, putPhone, signInByPhone, stopAccount } from './phone-house.js';

const NOTE = /cannot be used to sign in/;
const NOTE_VIETNAMESE = /không dùng để đăng nhập được/;

/** P1, P4, P5, P6: what a number is decides, when a code would be sent and again when it is typed. */
eachDatabase('phone sign-in, by what the number is', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const verified = () => holder(app, sms);
  const setLocale = (accountId: string, locale: string) =>
    sql`update account_settings set locale = ${locale} where account_id = ${accountId}::uuid`.execute(
      app.db,
    );

  it('verified, signs in, active: the same account, with a password or without', async () => {
    const person = await verified();
    const before = await rowCounts(app.db);
    const done = await signInByPhone(app, person.address);
    expect(done).toMatchObject({ accountId: person.accountId, isFirstSignIn: false });
    const after = grown(before, await rowCounts(app.db));
    expect(after).toMatchObject({ sessions: 1, challenges: 1, outbox: 1 });
    expect(after).not.toHaveProperty('accounts');
    expect(after).not.toHaveProperty('identifiers');
    const born = await signInByPhone(app);
    expect(await signInByPhone(app, born.phone)).toMatchObject({
      accountId: born.accountId,
      isFirstSignIn: false,
    });
  });

  it("only claimed by somebody: a new account, never theirs, and every rival's claim falls (P5)", async () => {
    const claim = await claimant(app, sms);
    const other = await claimant(app, sms, claim.address);
    app.clock.advance({ seconds: 61 });
    const done = await signInByPhone(app, claim.address);
    expect(done.isFirstSignIn).toBe(true);
    expect([claim.accountId, other.accountId]).not.toContain(done.accountId);
    expect(await addressesOf(app, claim.accountId)).toEqual([]);
    expect(await addressesOf(app, other.accountId)).toEqual([]);
    // The code of the claim proves nothing any more.
    const refused = await refusalOf(sms.confirm(app, claim, claim.session));
    expect(['IDENTIFIER_TAKEN', 'CODE_EXPIRED']).toContain(refused.reason);
  });

  it('only a contact of somebody: a new account, and the contact stays what it was', async () => {
    const person = await verified();
    await putPhone(app, person.accountId, { state: 'contact', enabled: false });
    const done = await signInByPhone(app, person.address);
    expect(done.isFirstSignIn).toBe(true);
    expect(await addressesOf(app, person.accountId)).toMatchObject([{ state: 'contact' }]);
  });

  it('lapsed and the only way in: the code proves the number again and signs in to the same account', async () => {
    const born = await signInByPhone(app);
    const rival = await claimant(app, sms, born.phone);
    for (const enabled of [true, false]) {
      app.clock.advance({ seconds: 61 });
      await putPhone(app, born.accountId, { state: 'lapsed', enabled });
      const { account: before } = await app.auth.getAccount({}, born.session);
      const done = await signInByPhone(app, born.phone);
      expect(done).toMatchObject({ accountId: born.accountId, isFirstSignIn: false });
      expect(await addressesOf(app, born.accountId)).toEqual([
        { type: 'phone', value: born.phone, state: 'verified', sign_in_enabled: true },
      ]);
      const { account: after } = await app.auth.getAccount({}, born.session);
      expect(after?.etag).not.toBe(before?.etag);
    }
    expect(await addressesOf(app, rival.accountId)).toEqual([]);
    const actions = (await changesOf(app, born.accountId)).map(({ action }) => action);
    expect(actions.filter((action) => action === 'identifier_proven')).toHaveLength(2);
  });

  interface Refused {
    readonly name: string;
    /** Somebody whose number signs in. */
    person(): Promise<{ readonly accountId: string; readonly phone: string }>;
    stop(accountId: string): Promise<unknown>;
  }
  const withPassword = async () => {
    const { accountId, address: phone } = await verified();
    return { accountId, phone };
  };
  const refusedStates: readonly Refused[] = [
    {
      name: 'verified, and not enabled',
      person: withPassword,
      stop: (id) => putPhone(app, id, { enabled: false, keptDemoted: true }),
    },
    {
      name: 'lapsed, with another way in',
      person: withPassword,
      stop: (id) => putPhone(app, id, { state: 'lapsed' }),
    },
    {
      name: 'lapsed, the last one left, and switched off by hand',
      person: () => signInByPhone(app),
      stop: (id) => putPhone(app, id, { state: 'lapsed', enabled: false, keptDemoted: true }),
    },
    { name: 'blocked', person: withPassword, stop: (id) => stopAccount(app, id, 'blocked') },
    {
      name: 'deactivated',
      person: () => signInByPhone(app),
      stop: (id) => stopAccount(app, id, 'deactivated'),
    },
    {
      name: 'disputed',
      person: withPassword,
      stop: (id) => putPhone(app, id, { state: 'disputed', enabled: false }),
    },
  ];

  describe.each(refusedStates)('$name:', ({ person, stop }) => {
    it('no code is sent, but a note, in the language of the account, once an hour', async () => {
      const { accountId, phone } = await person();
      await setLocale(accountId, 'vi');
      await stop(accountId);
      const before = await rowCounts(app.db);
      const sent = (await messagesTo(app, phone)).length;
      const { challengeId } = await ask(app, phone, { locale: 'en' });
      const notes = (await messagesTo(app, phone)).slice(sent);
      expect(notes).toMatchObject([{ channel: 'sms', locale: 'vi' }]);
      expect(notes[0]?.text).toMatch(NOTE_VIETNAMESE);
      expect(notes[0]?.text).not.toMatch(/\d{6}/);
      expect(grown(before, await rowCounts(app.db))).toEqual({
        challenges: 1,
        outbox: 1,
        audit_events: 1,
        notices: 1,
      });
      const guess = app.auth.completePhoneSignIn({ challengeId, code: '123456' });
      expect(await refusalOf(guess)).toMatchObject({
        reason: 'CODE_INVALID',
        metadata: { attempts_left: '4' },
      });
      app.clock.advance({ minutes: 59 });
      await ask(app, phone);
      expect(await messagesTo(app, phone)).toHaveLength(sent + 1);
      app.clock.advance({ minutes: 2 });
      await ask(app, phone);
      expect(await messagesTo(app, phone)).toHaveLength(sent + 2);
    });

    it('when the code is typed: CREDENTIALS_INVALID and a note, the code used up, and no second account', async () => {
      const { accountId, phone } = await person();
      const asked = await askForCode(app, phone);
      await stop(accountId);
      const before = await rowCounts(app.db);
      expect((await refusalOf(app.auth.completePhoneSignIn(asked))).reason).toBe(
        'CREDENTIALS_INVALID',
      );
      await delivered(app);
      const { guess_budgets: _, ...after } = grown(before, await rowCounts(app.db));
      expect(after).toEqual({ outbox: 1, notices: 1 });
      expect((await messagesTo(app, phone)).at(-1)?.text).toMatch(NOTE);
      // It works again, and the code does not.
      await sql`update accounts set status = 'active' where account_id = ${accountId}::uuid`.execute(
        app.db,
      );
      await putPhone(app, accountId, { state: 'verified', enabled: true, keptDemoted: false });
      expect((await refusalOf(app.auth.completePhoneSignIn(asked))).reason).toBe('CODE_EXPIRED');
    });
  });

  it('disputed by several: the note is counted for the first of them alone, and none is signed in to (P4)', async () => {
    const [first, second] = [await verified(), await verified()];
    for (const { accountId } of [first, second]) {
      await sql`update identifiers set state = 'disputed', sign_in_enabled = false, value = ${first.address}
        where account_id = ${accountId}::uuid and type = 'phone'`.execute(app.db);
    }
    const sent = (await messagesTo(app, first.address)).length;
    await ask(app, first.address);
    await ask(app, first.address);
    expect(await messagesTo(app, first.address)).toHaveLength(sent + 1);
    const { rows } = await sql`select account_id from notices where kind = 'sign_in_refused'
        and account_id in (${first.accountId}::uuid, ${second.accountId}::uuid)`.execute(app.db);
    expect(rows).toEqual([{ account_id: first.accountId }]);
  });

  it('PHONE_SIGN_IN=existing: who has an account gets in; nobody else gets a message, or an account', async () => {
    const existing = await house.open({ PHONE_SIGN_IN: 'existing' });
    const person = await verified();
    expect(await signInByPhone(existing, person.address)).toMatchObject({
      accountId: person.accountId,
      isFirstSignIn: false,
    });
    for (const phone of [unique.phone(), (await claimant(app, sms)).address]) {
      const before = await rowCounts(app.db);
      const sent = (await messagesTo(app, phone)).length;
      const answer = await ask(existing, phone);
      expect(Object.keys(answer)).toEqual(Object.keys(await ask(existing, person.address)));
      expect(await messagesTo(app, phone)).toHaveLength(sent);
      expect(grown(before, await rowCounts(app.db))).not.toHaveProperty('accounts');
      const { rows } = await sql`select state, kind from outbox
        where kind = 'sign_in_request' order by created_at desc limit 2`.execute(app.db);
      expect(rows).toContainEqual({ state: 'dropped', kind: 'sign_in_request' });
    }
    // A code from before the setting changed makes no account either.
    const asked = await askForCode(app, unique.phone());
    expect((await refusalOf(existing.auth.completePhoneSignIn(asked))).reason).toBe(
      'CREDENTIALS_INVALID',
    );
  });

  it('PHONE_SIGN_IN=off: the answer is as ever, nothing is sent, and no code opens anything', async () => {
    const off = await house.open({ PHONE_SIGN_IN: 'off' });
    const person = await verified();
    const sent = (await messagesTo(app, person.address)).length;
    const answer = await ask(off, person.address);
    expect(answer.retryAfter).toBeUndefined();
    expect(answer.maskedDestination).toBe((await ask(app, person.address)).maskedDestination);
    expect(await messagesTo(app, person.address)).toHaveLength(sent + 1);
    const blocked = await verified();
    await stopAccount(app, blocked.accountId, 'blocked');
    const told = (await messagesTo(app, blocked.address)).length;
    await ask(off, blocked.address);
    expect(await messagesTo(app, blocked.address)).toHaveLength(told);
    const asked = await askForCode(app, person.address);
    expect((await refusalOf(off.auth.completePhoneSignIn(asked))).reason).toBe(
      'CREDENTIALS_INVALID',
    );
    const wrong = { ...asked, code: wrongCode(asked.code) };
    expect((await refusalOf(off.auth.completePhoneSignIn(wrong))).reason).toBe('CODE_INVALID');
  });

  it("nobody's at the sending and somebody's now: that account, by its own rules, and no second one", async () => {
    for (const demoted of [false, true]) {
      const phone = unique.phone();
      const asked = await askForCode(app, phone);
      const person = await holder(app, sms, phone);
      if (demoted) await putPhone(app, person.accountId, { enabled: false });
      const before = await rowCounts(app.db);
      const completed = app.auth.completePhoneSignIn(asked);
      if (demoted) {
        expect((await refusalOf(completed)).reason).toBe('CREDENTIALS_INVALID');
      } else {
        expect(await completed).toMatchObject({
          accountId: person.accountId,
          isFirstSignIn: false,
        });
      }
      expect(grown(before, await rowCounts(app.db))).not.toHaveProperty('accounts');
      expect((await refusalOf(app.auth.completePhoneSignIn(asked))).reason).toBe('CODE_EXPIRED');
    }
  });
});
