import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eachDatabase } from '../support/databases.js';
import { signUp } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { addressOf, identifiersOf, member, remove, signsInTo } from './changes.js';
import {
  addressesOf,
  channels,
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

eachDatabase('removing an address', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  describe.each(channels)('by $channel', (on) => {
    const other = on === email ? sms : email;

    it('takes what is held and what is claimed, and frees it for others (V3, V4)', async () => {
      const person = await member(app);
      app.clock.advance({ seconds: 61 });
      await on.send(app, person, on.address());
      const { account } = await remove(app, on, person);
      expect(present(account).identifiers.map(({ value }) => value)).toEqual([
        person.username,
        addressOf(person, other),
      ]);
      expect(await addressesOf(app, person.accountId)).toEqual([
        {
          type: other.type,
          value: addressOf(person, other),
          state: 'verified',
          sign_in_enabled: true,
        },
      ]);
      expect(await signsInTo(app, addressOf(person, on))).toBeUndefined();
      expect(await signsInTo(app, addressOf(person, other))).toBe(person.accountId);
      const next = await holder(app, on, addressOf(person, on));
      expect(await signsInTo(app, next.address)).toBe(next.accountId);
    });

    it.each(['lapsed', 'contact', 'disputed'])('takes one in state %s as well', async (state) => {
      const person = await holder(app, on);
      await sql`update identifiers set state = ${state}, sign_in_enabled = false
        where account_id = ${person.accountId}::uuid and type = ${on.type}`.execute(app.db);
      await remove(app, on, person.session);
      expect(await addressesOf(app, person.accountId)).toEqual([]);
    });

    it('kills the code that waits, by session and by handle, and not that of the other channel (rule 6)', async () => {
      const [to, otherTo] = [on.address(), other.address()];
      const person = await signUp(app, { ...on.claim(to), ...other.claim(otherTo) });
      const codes = { on: await codeFor(app, to), other: await codeFor(app, otherTo) };
      const [emailId = '', smsId = ''] = person.challengeIds;
      const challengeId = on === email ? emailId : smsId;
      await remove(app, on, person);
      for (const session of [person, undefined])
        expect(
          (await refusalOf(on.confirm(app, { challengeId, code: codes.on }, session))).reason,
        ).toBe('CODE_EXPIRED');
      await other.confirm(app, { code: codes.other }, person);
      expect(await addressesOf(app, person.accountId)).toMatchObject([
        { value: otherTo, state: 'verified' },
      ]);
    });

    it('leaves the cooldown of the channel as it is: removing is no way round it (T1)', async () => {
      const person = await claimant(app, on);
      await remove(app, on, person.session);
      const to = on.address();
      expect((await refusalOf(on.send(app, person.session, to))).reason).toBe('RESEND_TOO_SOON');
      expect(await messagesTo(app, to)).toEqual([]);
    });

    it('is no failure where there is nothing: the same account, nothing written', async () => {
      const person = await signUp(app);
      const before = await rowCounts(app.db);
      const { account } = await remove(app, on, person);
      expect(account).toEqual(person.response.account);
      expect(grown(before, await rowCounts(app.db))).toEqual({});
    });

    it('can be linked again later, as if it had never been there (V5)', async () => {
      const person = await holder(app, on);
      await remove(app, on, person.session);
      app.clock.advance({ seconds: 61 });
      await on.send(app, person.session, person.address);
      await on.confirm(app, { code: await codeFor(app, person.address) }, person.session);
      expect(await signsInTo(app, person.address)).toBe(person.accountId);
    });

    it('never takes the last way in (rule 13), and always what is none', async () => {
      const person = await member(app);
      await sql`update identifiers set sign_in_enabled = (type = ${on.type})
        where account_id = ${person.accountId}::uuid`.execute(app.db);
      const before = await identifiersOf(app, person.accountId);
      expect(await refusalOf(remove(app, on, person))).toMatchObject({
        reason: 'LAST_SIGN_IN_METHOD',
        codeName: 'FAILED_PRECONDITION',
      });
      expect(await identifiersOf(app, person.accountId)).toEqual(before);
      await remove(app, other, person);
      expect(await addressesOf(app, person.accountId)).toMatchObject([{ type: on.type }]);
    });

    it('keeps the code alive that a refused removal would have killed', async () => {
      const person = await member(app);
      await sql`update identifiers set sign_in_enabled = (type = ${on.type})
        where account_id = ${person.accountId}::uuid`.execute(app.db);
      app.clock.advance({ seconds: 61 });
      await on.send(app, person, addressOf(person, on));
      const code = await codeFor(app, addressOf(person, on));
      expect((await refusalOf(remove(app, on, person))).reason).toBe('LAST_SIGN_IN_METHOD');
      await on.confirm(app, { code }, person);
    });
  });

  it('kills the handle of the removed email too: a resend by it sends no code (V8)', async () => {
    const person = await claimant(app, email);
    await app.auth.removeEmail({}, person.session);
    app.clock.advance({ seconds: 61 });
    const { challenge } = await app.auth.resendEmailConfirmation({
      email: person.address,
      challengeId: person.challengeId,
    });
    expect(challenge).toBeDefined();
    await delivered(app);
    expect(await messagesTo(app, person.address)).toHaveLength(1);
    expect(
      (await refusalOf(email.confirm(app, { challengeId: person.challengeId, code: person.code })))
        .reason,
    ).toMatch(/^CODE_(INVALID|EXPIRED)$/);
    expect(await addressesOf(app, person.accountId)).toEqual([]);
  });
});
