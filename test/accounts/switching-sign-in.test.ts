import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import type { CallOptions } from '../../src/client/index.js';
import { eachDatabase } from '../support/databases.js';
import { signUp } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { addressOf, identifiersOf, member, prove, remove, signsInTo } from './changes.js';
import {
  addressesOf,
  channels,
  claimant,
  type House,
  holder,
  openHouse,
  refusalOf,
  sms,
} from './house.js';

eachDatabase('switching sign-in on and off', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const switchTo = (
    enabled: boolean,
    type: IdentifierType,
    options: CallOptions,
    of: TestApp = app,
  ) => of.auth.setSignInEnabled({ type, enabled }, options);

  it('switches a username off where another way remains, and on again', async () => {
    const person = await member(app);
    const { identifier } = await switchTo(false, IdentifierType.USERNAME, person);
    expect(identifier).toMatchObject({
      type: IdentifierType.USERNAME,
      value: person.username,
      verified: true,
      signInEnabled: false,
    });
    expect(await signsInTo(app, person.username)).toBeUndefined();
    expect(await signsInTo(app, person.phone)).toBe(person.accountId);
    await switchTo(true, IdentifierType.USERNAME, person);
    expect(await signsInTo(app, person.username)).toBe(person.accountId);
  });

  it.each([IdentifierType.UNSPECIFIED, 9])('refuses type %s (FIELD_INVALID)', async (type) => {
    const person = await member(app);
    for (const enabled of [true, false])
      expect(await refusalOf(switchTo(enabled, type, person))).toMatchObject({
        reason: 'FIELD_INVALID',
        violations: [{ field: 'type' }],
      });
  });

  describe.each(channels)('$channel', (on) => {
    const setting = on === sms ? 'PROMOTE_PHONE' : 'PROMOTE_EMAIL';

    it('signs in no more when it is switched off, and sessions go on', async () => {
      const person = await member(app);
      const { identifier } = await switchTo(false, on.wireType, person);
      expect(identifier).toMatchObject({
        value: addressOf(person, on),
        verified: true,
        signInEnabled: false,
      });
      expect(await signsInTo(app, addressOf(person, on))).toBeUndefined();
      expect(await signsInTo(app, person.username)).toBe(person.accountId);
      await app.auth.refreshSession({ refreshToken: person.refreshToken });
    });

    it('stays off through proofs of the same and of another value, until it is switched on (V7)', async () => {
      const person = await member(app);
      await switchTo(false, on.wireType, person);
      for (const address of [addressOf(person, on), on.address()]) {
        app.clock.advance({ seconds: 61 });
        const { identifier } = await prove(app, on, person, address);
        expect(identifier).toMatchObject({ value: address, verified: true, signInEnabled: false });
        expect(await signsInTo(app, address)).toBeUndefined();
      }
      const { identifier } = await switchTo(true, on.wireType, person);
      expect(await signsInTo(app, identifier?.value ?? '')).toBe(person.accountId);
      app.clock.advance({ seconds: 61 });
      const next = on.address();
      await prove(app, on, person, next);
      expect(await signsInTo(app, next)).toBe(person.accountId);
    });

    it.each(['manual', 'automatic'])('is switched on by hand with PROMOTE_…=%s', async (policy) => {
      await using manual = await house.open({ [setting]: 'manual' });
      const person = await holder(manual, on);
      expect(await signsInTo(manual, person.address)).toBeUndefined();
      await using of = await house.open({ [setting]: policy });
      await switchTo(true, on.wireType, person.session, of);
      expect(await signsInTo(of, person.address)).toBe(person.accountId);
    });

    it('is not switched on with PROMOTE_…=off, and is switched off (V7)', async () => {
      const person = await member(app);
      await using off = await house.open({ [setting]: 'off' });
      await switchTo(false, on.wireType, person, off);
      expect(await refusalOf(switchTo(true, on.wireType, person, off))).toMatchObject({
        reason: 'FIELD_INVALID',
        codeName: 'INVALID_ARGUMENT',
        violations: [{ field: 'type' }],
      });
      expect(await signsInTo(off, addressOf(person, on))).toBeUndefined();
      await switchTo(true, IdentifierType.USERNAME, person, off);
    });

    it('is refused where nothing is proven: IDENTIFIER_NOT_VERIFIED', async () => {
      const [nobody, claiming] = [await signUp(app), await claimant(app, on)];
      const held = await holder(app, on);
      const attempt = async (options: CallOptions) => {
        for (const enabled of [true, false])
          expect(await refusalOf(switchTo(enabled, on.wireType, options))).toMatchObject({
            reason: 'IDENTIFIER_NOT_VERIFIED',
            codeName: 'FAILED_PRECONDITION',
          });
      };
      await attempt(nobody);
      await attempt(claiming.session);
      for (const [state, enabled] of [
        ['lapsed', true],
        ['lapsed', false],
        ['disputed', false],
      ] as const) {
        await sql`update identifiers set state = ${state}, sign_in_enabled = ${enabled}
          where account_id = ${held.accountId}::uuid and type = ${on.type}`.execute(app.db);
        const before = await identifiersOf(app, held.accountId);
        await attempt(held.session);
        expect(await identifiersOf(app, held.accountId)).toEqual(before);
      }
    });

    it('never switches the last way in off (rule 13)', async () => {
      const person = await holder(app, on);
      await switchTo(false, IdentifierType.USERNAME, person.session);
      expect(await refusalOf(switchTo(false, on.wireType, person.session))).toMatchObject({
        reason: 'LAST_SIGN_IN_METHOD',
      });
      expect((await refusalOf(remove(app, on, person.session))).reason).toBe('LAST_SIGN_IN_METHOD');
      expect(await signsInTo(app, person.address)).toBe(person.accountId);
      await switchTo(true, IdentifierType.USERNAME, person.session);
      await switchTo(false, on.wireType, person.session);
    });

    describe('of a contact', () => {
      const pair = async (lenient: TestApp) => {
        const owner = await holder(lenient, on);
        return { owner, second: await holder(lenient, on, owner.address) };
      };

      it.each(['verified', 'lapsed', 'disputed'])(
        'is IDENTIFIER_TAKEN while another account holds the address, %s (V7)',
        async (state) => {
          await using lenient = await house.open({ PROOF_COLLISION: 'contact' });
          const { owner, second } = await pair(lenient);
          await sql`update identifiers set state = ${state}, sign_in_enabled = false
          where account_id = ${owner.accountId}::uuid and type = ${on.type}`.execute(lenient.db);
          const refused = await refusalOf(switchTo(true, on.wireType, second.session, lenient));
          expect(refused).toMatchObject({ reason: 'IDENTIFIER_TAKEN', codeName: 'ALREADY_EXISTS' });
          expect(await addressesOf(lenient, second.accountId)).toMatchObject([
            { state: 'contact' },
          ]);
          const { identifier } = await switchTo(false, on.wireType, second.session, lenient);
          expect(identifier).toMatchObject({ verified: true, signInEnabled: false });
        },
      );

      it('makes it the holder when the address is free: it signs in, and nobody else proves it (V6, V7)', async () => {
        await using lenient = await house.open({ PROOF_COLLISION: 'contact' });
        const { owner, second } = await pair(lenient);
        await remove(lenient, on, owner.session);
        await switchTo(true, on.wireType, second.session, lenient);
        expect(await addressesOf(lenient, second.accountId)).toEqual([
          { type: on.type, value: owner.address, state: 'verified', sign_in_enabled: true },
        ]);
        expect(await signsInTo(lenient, owner.address)).toBe(second.accountId);
        const third = await claimant(app, on, owner.address);
        expect((await refusalOf(on.confirm(app, third, third.session))).reason).toBe(
          'IDENTIFIER_TAKEN',
        );
      });
    });
  });
});
