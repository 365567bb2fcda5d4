import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import { eachDatabase } from '../support/databases.js';
import { unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import {
  changes,
  type Member,
  member,
  noticesTo,
  prove,
  remove,
  signedInAgain,
} from './changes.js';
import {
  channels,
  claimant,
  delivered,
  email,
  type House,
  holder,
  openHouse,
  refusalOf,
  sms,
} from './house.js';

const { EMAIL, PHONE, USERNAME } = IdentifierType;

/** Rule 12: who is told of a change, and how often. */
eachDatabase('notices of a change without a proof', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  /** Texts of the notices that came to an address since `told` was last asked for it. */
  const texts = async (to: string) => {
    await delivered(app);
    return noticesTo(app, to).map(({ text }) => text);
  };
  /** After the proofs of a `member`, the second of which told the first address. */
  const fresh = async (fields = {}) => {
    const person = await member(app, fields);
    await delivered(app);
    return { person, before: noticesTo(app, person.email).length };
  };
  const told = async (person: Member, before: number) => ({
    email: (await texts(person.email)).slice(before),
    phone: await texts(person.phone),
  });

  it('tells all verified channels of a removal, the removed one included', async () => {
    for (const on of channels) {
      const { person, before } = await fresh();
      await remove(app, on, person);
      const got = await told(person, before);
      const noun = on === email ? 'email' : 'phone';
      for (const list of [got.email, got.phone]) {
        expect(list).toHaveLength(1);
        expect(list[0]).toMatch(new RegExp(`${noun}.*was removed`, 'is'));
        expect(list[0]).not.toContain(person.email);
        expect(list[0]).not.toContain(person.phone);
      }
    }
  });

  it('tells the replaced number and the email of a new number, and not the new number', async () => {
    const { person, before } = await fresh();
    const next = unique.phone();
    await app.auth.setPhoneNumber({ phoneNumber: next }, person);
    const got = await told(person, before);
    for (const list of [got.email, got.phone]) {
      expect(list).toHaveLength(1);
      expect(list[0]).toMatch(/phone.*was changed to/is);
      expect(list[0]).toContain(next.slice(-2));
    }
    expect(await texts(next)).toEqual([]);
  });

  it.each([
    ['username', USERNAME, /your username/i],
    ['email', EMAIL, /the email/i],
    ['phone', PHONE, /the phone/i],
  ] as const)(
    'tells all verified channels that the %s signs in no longer, or again',
    async (_, type, named) => {
      const { person, before } = await fresh();
      await app.auth.setSignInEnabled({ type, enabled: false }, person);
      await app.auth.setSignInEnabled({ type, enabled: true }, person);
      const got = await told(person, before);
      for (const list of [got.email, got.phone]) {
        expect(list).toHaveLength(2);
        expect(list.join()).toMatch(named);
        expect(list.filter((text) => /turned off/.test(text))).toHaveLength(1);
        expect(list.filter((text) => /turned on/.test(text))).toHaveLength(1);
      }
    },
  );

  it('tells at most once per kind and hour', async () => {
    const { person, before } = await fresh();
    const numbers = [unique.phone(), unique.phone(), unique.phone()];
    for (const [n, phoneNumber] of numbers.entries()) {
      app.clock.advance({ minutes: n === 2 ? 61 : 1 });
      const session = await signedInAgain(app, person.username);
      await app.auth.setPhoneNumber({ phoneNumber: unique.phone() }, session);
      // Only what is held was anybody's contact: proven anew, so that there is something to replace.
      await delivered(app);
      app.clock.advance({ seconds: 61 });
      await prove(app, sms, session, phoneNumber);
      await delivered(app);
    }
    const changed = (await texts(person.email))
      .slice(before)
      .filter((text) => /changed/.test(text));
    expect(changed).toHaveLength(2);
  });

  it('tells nobody of a claim that is set, replaced or removed: nobody relied on it', async () => {
    const person = await holder(app, email);
    await app.auth.setPhoneNumber({ phoneNumber: unique.phone() }, person.session);
    await app.auth.setPhoneNumber({ phoneNumber: unique.phone() }, person.session);
    await app.auth.removePhoneNumber({}, person.session);
    expect(await texts(person.address)).toEqual([]);
  });

  it('tells only what is verified: no claim and nothing lapsed; a contact, for it is its own account’s', async () => {
    await using lenient = await house.open({ PROOF_COLLISION: 'contact' });
    const owner = await holder(lenient, sms);
    const second = await holder(lenient, sms, owner.address);
    const claimed = unique.email();
    await email.send(lenient, second.session, claimed);
    await delivered(lenient);
    await lenient.auth.removePhoneNumber({}, second.session);
    expect(await texts(owner.address)).toHaveLength(1);
    expect(await texts(claimed)).toEqual([]);
    const { person, before } = await fresh();
    await sql`update identifiers set state = 'lapsed'
      where account_id = ${person.accountId}::uuid and type = 'email'`.execute(app.db);
    await app.auth.removeEmail({}, person);
    const got = await told(person, before);
    expect([got.email.length, got.phone.length]).toEqual([0, 1]);
  });

  it.each([
    ['vi', 'en', 'vi'],
    [undefined, 'vi', 'vi'],
    ['en', 'vi', 'en'],
  ])(
    'speaks the language of the account: %s, else of the request: %s (M3)',
    async (locale, acceptLanguage, expected) => {
      const { person } = await fresh({ locale });
      await app.auth.removeEmail({}, { accessToken: person.accessToken, acceptLanguage });
      await delivered(app);
      const [notice] = noticesTo(app, person.phone);
      expect(notice?.locale).toBe(expected);
      expect(notice?.text).toMatch(expected === 'vi' ? /tài khoản/i : /account/);
    },
  );

  describe.each(changes)('by $rpc', ({ call }) => {
    it('are none where the change is refused', async () => {
      const { person, before } = await fresh();
      app.clock.advance({ minutes: 11 });
      await refusalOf(call(app, person));
      expect(await told(person, before)).toEqual({ email: [], phone: [] });
    });

    it('come with the change or not at all, and go out although the provider fails at first (M4)', async () => {
      const { person, before } = await fresh();
      app.mailbox.failNext(1);
      await call(app, person);
      const { email: mails, phone: texted } = await told(person, before);
      expect([mails.length, texted.length]).toEqual([1, 1]);
    });
  });

  it('waits for the proof with the notice of a first number', async () => {
    const person = await claimant(app, email);
    await email.confirm(app, person, person.session);
    const phoneNumber = unique.phone();
    await app.auth.setPhoneNumber({ phoneNumber }, person.session);
    expect(await texts(person.address)).toEqual([]);
    await prove(app, sms, person.session, phoneNumber);
    expect(await texts(person.address)).toHaveLength(1);
    expect(await texts(phoneNumber)).toEqual([]);
  });
});
