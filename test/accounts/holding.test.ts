import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, signUp } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import {
  addressesOf,
  type ChannelCase,
  channels,
  claimant,
  codeFor,
  delivered,
  type House,
  holder,
  openHouse,
  refusalOf,
  sms,
} from './house.js';

eachDatabase('holding an address', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const canSignIn = async (of: TestApp, identifier: string) =>
    of.auth.signIn({ identifier, password: PASSWORD }).then(
      ({ accountId }) => accountId,
      () => undefined,
    );

  /** Sends a code to an address for a signed-in person and proves it. */
  const prove = async (
    of: TestApp,
    on: ChannelCase,
    session: { accessToken: string },
    address: string,
  ) => {
    await on.send(of, session, address);
    return on.confirm(of, { code: await codeFor(of, address) }, session);
  };

  describe.each(channels)('$channel', (on) => {
    it('links by proving: a type not held yet, with a challenge and a claim until then (V5)', async () => {
      const person = await signUp(app);
      const to = on.address();
      await on.send(app, person, to);
      expect(await addressesOf(app, person.accountId)).toEqual([
        { type: on.type, value: to, state: 'claimed', sign_in_enabled: false },
      ]);
      expect(await canSignIn(app, to)).toBeUndefined();
      await on.confirm(app, { code: await codeFor(app, to) }, person);
      expect(await canSignIn(app, to)).toBe(person.accountId);
    });

    it('changes by proving: the held value stays until then, and goes with it (V4, V5)', async () => {
      const person = await holder(app, on);
      app.clock.advance({ seconds: 61 });
      const next = on.address();
      await on.send(app, person.session, next);
      expect(await addressesOf(app, person.accountId)).toEqual([
        { type: on.type, value: next, state: 'claimed', sign_in_enabled: false },
        { type: on.type, value: person.address, state: 'verified', sign_in_enabled: true },
      ]);
      expect(await canSignIn(app, person.address)).toBe(person.accountId);
      await on.confirm(app, { code: await codeFor(app, next) }, person.session);
      expect(await addressesOf(app, person.accountId)).toEqual([
        { type: on.type, value: next, state: 'verified', sign_in_enabled: true },
      ]);
      expect(await canSignIn(app, person.address)).toBeUndefined();
      expect(await canSignIn(app, next)).toBe(person.accountId);
      // What was given up is free for others.
      expect((await holder(app, on, person.address)).address).toBe(person.address);
    });

    it('replaces a claim by another, and the code for the former is dead (V4)', async () => {
      const person = await claimant(app, on);
      app.clock.advance({ seconds: 61 });
      const next = on.address();
      const { challengeId } = await on.send(app, person.session, next);
      expect(challengeId).toBe(person.challengeId);
      expect(await addressesOf(app, person.accountId)).toEqual([
        { type: on.type, value: next, state: 'claimed', sign_in_enabled: false },
      ]);
      const code = await codeFor(app, next);
      if (code !== person.code) {
        for (const session of [person.session, undefined]) {
          const refused = await refusalOf(
            on.confirm(app, { challengeId, code: person.code }, session),
          );
          expect(refused.reason).toBe('CODE_INVALID');
        }
      }
      const { identifier } = await on.confirm(app, { code }, person.session);
      expect(identifier?.value).toBe(next);
      expect(await canSignIn(app, person.address)).toBeUndefined();
    });

    it('lets a bare request mean the claim before what is held, and what is held where nothing waits', async () => {
      const person = await holder(app, on);
      const next = on.address();
      app.clock.advance({ seconds: 61 });
      await on.send(app, person.session, next);
      await delivered(app);
      app.clock.advance({ seconds: 61 });
      await on.send(app, person.session);
      await on.confirm(app, { code: await codeFor(app, next) }, person.session);
      await delivered(app);
      app.clock.advance({ seconds: 61 });
      await on.send(app, person.session);
      const { identifier } = await on.confirm(
        app,
        { code: await codeFor(app, next) },
        person.session,
      );
      expect(identifier).toMatchObject({ value: next, verified: true, signInEnabled: true });
      expect(await addressesOf(app, person.accountId)).toHaveLength(1);
    });

    it('lets rival claims fall with the proof, and tells a rival who proves later: IDENTIFIER_TAKEN (V6, rule 10)', async () => {
      const to = on.address();
      const [owner, rival, bystander] = [
        await claimant(app, on, to),
        await claimant(app, on, to),
        await claimant(app, on),
      ];
      // A claim, however early, never stops the real owner.
      await on.confirm(app, owner, owner.session);
      expect(await addressesOf(app, rival.accountId)).toEqual([]);
      expect(await addressesOf(app, bystander.accountId)).toHaveLength(1);
      // The rival learns it by the right code alone.
      const wrong = String((Number(rival.code) + 1) % 1_000_000).padStart(6, '0');
      const { challengeId, code } = rival;
      expect(await refusalOf(on.confirm(app, { challengeId, code: wrong }))).toMatchObject({
        reason: 'CODE_INVALID',
      });
      const taken = await refusalOf(on.confirm(app, { challengeId, code }));
      expect(taken).toMatchObject({
        reason: 'IDENTIFIER_TAKEN',
        codeName: 'ALREADY_EXISTS',
        metadata: {},
        violations: [],
      });
      expect(await refusalOf(on.confirm(app, { challengeId, code }))).toMatchObject({
        reason: 'CODE_EXPIRED',
      });
      expect(await addressesOf(app, owner.accountId)).toMatchObject([
        { value: to, state: 'verified' },
      ]);
      expect(await canSignIn(app, to)).toBe(owner.accountId);
    });

    it('leaves what a person holds alone when the change meets an owner: IDENTIFIER_TAKEN (V6)', async () => {
      const [owner, person] = [await holder(app, on), await holder(app, on)];
      app.clock.advance({ seconds: 61 });
      await on.send(app, person.session, owner.address);
      const code = await codeFor(app, owner.address);
      expect(await refusalOf(on.confirm(app, { code }, person.session))).toMatchObject({
        reason: 'IDENTIFIER_TAKEN',
      });
      expect(await addressesOf(app, person.accountId)).toEqual([
        { type: on.type, value: person.address, state: 'verified', sign_in_enabled: true },
      ]);
      expect(await canSignIn(app, person.address)).toBe(person.accountId);
    });

    it.each(['lapsed', 'disputed'])(
      'takes an address in state %s for held by its account (V6)',
      async (state) => {
        const owner = await holder(app, on);
        await sql`update identifiers set state = ${state}, sign_in_enabled = false
        where account_id = ${owner.accountId}::uuid and type = ${on.type}`.execute(app.db);
        const rival = await claimant(app, on, owner.address);
        expect(await refusalOf(on.confirm(app, rival, rival.session))).toMatchObject({
          reason: 'IDENTIFIER_TAKEN',
        });
        expect(await addressesOf(app, owner.accountId)).toMatchObject([{ state }]);
      },
    );

    it.each([true, false])(
      'gives a lapsed address its badge back by proof, and its sign-in as it was: %s (V6)',
      async (enabled) => {
        const person = await holder(app, on);
        await sql`update identifiers set state = 'lapsed', sign_in_enabled = ${enabled}, kept_demoted = ${!enabled}
        where account_id = ${person.accountId}::uuid and type = ${on.type}`.execute(app.db);
        const { account } = await app.auth.getAccount({}, person.session);
        expect(account?.identifiers[1]).toMatchObject({ value: person.address, verified: false });
        app.clock.advance({ seconds: 61 });
        await on.send(app, person.session);
        await on.confirm(app, { code: await codeFor(app, person.address) }, person.session);
        expect(await addressesOf(app, person.accountId)).toEqual([
          { type: on.type, value: person.address, state: 'verified', sign_in_enabled: enabled },
        ]);
      },
    );

    describe('with PROOF_COLLISION=contact (V7)', () => {
      it('proves an address that another account holds as a contact, which never signs in', async () => {
        await using lenient = await house.open({ PROOF_COLLISION: 'contact' });
        const owner = await holder(lenient, on);
        const second = await claimant(lenient, on, owner.address);
        const { identifier } = await on.confirm(lenient, second, second.session);
        expect(identifier).toMatchObject({
          value: owner.address,
          verified: true,
          signInEnabled: false,
        });
        expect(await addressesOf(lenient, second.accountId)).toEqual([
          { type: on.type, value: owner.address, state: 'contact', sign_in_enabled: false },
        ]);
        expect(await canSignIn(lenient, owner.address)).toBe(owner.accountId);
        expect(await addressesOf(lenient, owner.accountId)).toMatchObject([
          { state: 'verified', sign_in_enabled: true },
        ]);
      });

      it('does not trade a way in for a contact: who holds one of the type gets IDENTIFIER_TAKEN', async () => {
        await using lenient = await house.open({ PROOF_COLLISION: 'contact' });
        const [owner, person] = [await holder(lenient, on), await holder(lenient, on)];
        lenient.clock.advance({ seconds: 61 });
        const refused = await refusalOf(prove(lenient, on, person.session, owner.address));
        expect(refused.reason).toBe('IDENTIFIER_TAKEN');
        expect(await canSignIn(lenient, person.address)).toBe(person.accountId);
      });

      it('makes a contact the holder when it is proven again and nobody holds the address any more', async () => {
        await using lenient = await house.open({ PROOF_COLLISION: 'contact' });
        const owner = await holder(lenient, on);
        const second = await holder(lenient, on, owner.address);
        lenient.clock.advance({ seconds: 61 });
        await prove(lenient, on, owner.session, on.address());
        const { identifier } = await prove(lenient, on, second.session, owner.address);
        expect(identifier).toMatchObject({ verified: true, signInEnabled: true });
        expect(await canSignIn(lenient, owner.address)).toBe(second.accountId);
      });

      it('serves a contact with the notices of its own account', async () => {
        await using lenient = await house.open({ PROOF_COLLISION: 'contact' });
        const other = channels.find((candidate) => candidate !== on) ?? on;
        const owner = await holder(lenient, on);
        const second = await holder(lenient, on, owner.address);
        await prove(lenient, other, second.session, other.address());
        await delivered(lenient);
        expect(noticesTo(lenient, owner.address)).toHaveLength(1);
      });
    });

    it.each(['manual', 'off'])(
      'leaves a proven channel out of sign-in with PROMOTE_…=%s (V7)',
      async (promote) => {
        const name = on === sms ? 'PROMOTE_PHONE' : 'PROMOTE_EMAIL';
        await using strict = await house.open({ [name]: promote });
        const person = await claimant(strict, on);
        const { identifier } = await on.confirm(strict, person, person.session);
        expect(identifier).toMatchObject({ verified: true, signInEnabled: false });
        expect(await canSignIn(strict, person.address)).toBeUndefined();
        expect(await canSignIn(strict, person.username)).toBe(person.accountId);
        // The policy is the channel's own: the other one is promoted.
        const other = channels.find((candidate) => candidate !== on) ?? on;
        const proven = await prove(strict, other, person.session, other.address());
        expect(proven.identifier).toMatchObject({ verified: true, signInEnabled: true });
      },
    );

    it('never promotes again what was demoted by hand, and keeps what was promoted by hand (V7)', async () => {
      const demoted = await holder(app, on);
      await sql`update identifiers set sign_in_enabled = false, kept_demoted = true
        where account_id = ${demoted.accountId}::uuid and type = ${on.type}`.execute(app.db);
      app.clock.advance({ seconds: 61 });
      const again = await prove(app, on, demoted.session, demoted.address);
      expect(again.identifier).toMatchObject({ verified: true, signInEnabled: false });
      await using manual = await house.open({ PROMOTE_EMAIL: 'manual', PROMOTE_PHONE: 'manual' });
      const promoted = await holder(manual, on);
      await sql`update identifiers set sign_in_enabled = true
        where account_id = ${promoted.accountId}::uuid and type = ${on.type}`.execute(app.db);
      manual.clock.advance({ seconds: 61 });
      const kept = await prove(manual, on, promoted.session, promoted.address);
      expect(kept.identifier).toMatchObject({ verified: true, signInEnabled: true });
    });

    describe('notices of a change (rule 12)', () => {
      const other = channels.find((candidate) => candidate !== on) ?? on;

      it('tells nobody of a first proof, and nobody of proving again what is proven', async () => {
        const person = await holder(app, on);
        expect(noticesTo(app, person.address)).toEqual([]);
        app.clock.advance({ seconds: 61 });
        await prove(app, on, person.session, person.address);
        await delivered(app);
        expect(noticesTo(app, person.address)).toEqual([]);
      });

      it('tells the verified channels of a link, minus the one just proven, with the address masked', async () => {
        const person = await holder(app, on);
        const added = other.address();
        await prove(app, other, person.session, added);
        await delivered(app);
        const [notice, ...more] = noticesTo(app, person.address);
        expect(more).toEqual([]);
        expect(notice?.text).toMatch(/was added to your (Countersign )?account/);
        expect(notice?.text).not.toContain(added);
        expect(notice?.text).toContain(added.slice(other === sms ? -2 : -4));
        expect(noticesTo(app, added)).toEqual([]);
      });

      it('tells the former address and the other channel of a change, minus the new one', async () => {
        const person = await holder(app, on);
        const second = other.address();
        await prove(app, other, person.session, second);
        app.clock.advance({ seconds: 61 });
        const next = on.address();
        await prove(app, on, person.session, next);
        await delivered(app);
        const changes = (to: string) =>
          noticesTo(app, to).filter(({ text }) => /changed to/.test(text));
        expect(changes(person.address)).toHaveLength(1);
        expect(changes(second)).toHaveLength(1);
        expect(noticesTo(app, next)).toEqual([]);
      });

      it('tells at most once per kind and hour', async () => {
        const person = await holder(app, on);
        await prove(app, other, person.session, other.address());
        const changes: string[] = [person.address];
        for (const minutes of [2, 2, 61]) {
          await delivered(app);
          app.clock.advance({ minutes });
          const { tokens } = await app.auth.signIn({
            identifier: person.username,
            password: PASSWORD,
          });
          const next = on.address();
          await prove(app, on, { accessToken: tokens?.accessToken ?? '' }, next);
          changes.push(next);
        }
        await delivered(app);
        const told = changes.map(
          (to) => noticesTo(app, to).filter(({ text }) => /changed to/.test(text)).length,
        );
        // The first change tells the first address; the second is too soon; the third, an hour later, tells.
        expect(told).toEqual([1, 0, 1, 0]);
      });

      it.each([
        ['vi', 'en', 'vi'],
        ['en', 'vi', 'en'],
        [undefined, 'vi', 'vi'],
      ])(
        'speaks the language of the account: %s, else of the request: %s (M3)',
        async (locale, acceptLanguage, expected) => {
          const person = await holder(app, on, on.address(), { locale });
          const added = other.address();
          await other.send(app, person.session, added);
          await other.confirm(
            app,
            { code: await codeFor(app, added) },
            { ...person.session, acceptLanguage },
          );
          await delivered(app);
          const [notice] = noticesTo(app, person.address);
          expect(notice?.locale).toBe(expected);
          expect(notice?.text).toMatch(expected === 'vi' ? /tài khoản/i : /account/);
        },
      );
    });
  });

  function noticesTo({ mailbox }: TestApp, to: string) {
    return mailbox.messages.filter(
      (message) =>
        message.to === to && !/(?<![0-9])([0-9]{6}|[0-9]{20})(?![0-9])/.test(message.text),
    );
  }
});
