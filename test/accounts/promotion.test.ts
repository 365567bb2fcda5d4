import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import { eachDatabase } from '../support/databases.js';
import { signUp } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { changeEvents, prove, signsInTo } from './changes.js';
import {
  addressesOf,
  type ChannelCase,
  channels,
  claimant,
  codeFor,
  type House,
  holder,
  openHouse,
  refusalOf,
  sms,
} from './house.js';

eachDatabase('what a proof does beyond proving', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  /** Of an account: why its proofs did not promote. */
  const skipped = async (accountId: string) =>
    (await changeEvents(app, accountId))
      .filter(({ action }) => action === 'promotion_skipped')
      .map(({ detail }) => detail);

  /** An address that an operator vouched for, as an import will make it. */
  const vouched = async (on: ChannelCase) => {
    const person = await holder(app, on);
    await sql`update identifiers set proven_by = 'operator'
      where account_id = ${person.accountId}::uuid and type = ${on.type}`.execute(app.db);
    return person;
  };

  describe.each(channels)('$channel', (on) => {
    const setting = on === sms ? 'PROMOTE_PHONE' : 'PROMOTE_EMAIL';
    const channel = on.channel;

    it('audits no skipped promotion where there is none', async () => {
      const person = await holder(app, on);
      expect(await skipped(person.accountId)).toEqual([]);
    });

    it.each(['manual', 'off'])('audits one that PROMOTE_…=%s skips (V7)', async (policy) => {
      await using of = await house.open({ [setting]: policy });
      const person = await holder(of, on);
      expect(await skipped(person.accountId)).toEqual([{ channel, reason: 'policy' }]);
    });

    it('audits one that is skipped because it was switched off by hand (V7)', async () => {
      const person = await holder(app, on);
      await app.auth.setSignInEnabled({ type: on.wireType, enabled: false }, person.session);
      app.clock.advance({ seconds: 61 });
      await prove(app, on, person.session, person.address);
      expect(await skipped(person.accountId)).toEqual([{ channel, reason: 'kept_demoted' }]);
    });

    it('audits one that is skipped because another account holds the address (V7)', async () => {
      await using lenient = await house.open({ PROOF_COLLISION: 'contact' });
      const owner = await holder(lenient, on);
      const second = await holder(lenient, on, owner.address);
      expect(await skipped(second.accountId)).toEqual([{ channel, reason: 'collision' }]);
      expect(await skipped(owner.accountId)).toEqual([]);
    });

    it('lets a code count for more than an operator: the vouched holder loses the address', async () => {
      const loser = await vouched(on);
      const prover = await claimant(app, on, loser.address);
      const { identifier } = await on.confirm(app, prover, prover.session);
      expect(identifier).toMatchObject({ verified: true, signInEnabled: true });
      expect(await addressesOf(app, prover.accountId)).toEqual([
        { type: on.type, value: loser.address, state: 'verified', sign_in_enabled: true },
      ]);
      expect(await addressesOf(app, loser.accountId)).toEqual([
        { type: on.type, value: loser.address, state: 'disputed', sign_in_enabled: false },
      ]);
      expect(await signsInTo(app, loser.address)).toBe(prover.accountId);
      expect(await signsInTo(app, loser.username)).toBe(loser.accountId);
      expect(await changeEvents(app, loser.accountId)).toContainEqual({
        action: 'identifier_disputed',
        detail: { channel },
      });
      // Who has it keeps it: by proving it again, and against whoever lost it.
      app.clock.advance({ seconds: 61 });
      const again = await prove(app, on, prover.session, loser.address);
      expect(again.identifier).toMatchObject({ verified: true, signInEnabled: true });
      expect((await refusalOf(prove(app, on, loser.session, loser.address))).reason).toBe(
        'IDENTIFIER_TAKEN',
      );
      await app.auth.setSignInEnabled({ type: on.wireType, enabled: false }, prover.session);
      await app.auth.setSignInEnabled({ type: on.wireType, enabled: true }, prover.session);
    });

    it('leaves a vouched holder alone that proves the address again, and is then proven itself', async () => {
      const person = await vouched(on);
      app.clock.advance({ seconds: 61 });
      await prove(app, on, person.session, person.address);
      const rival = await claimant(app, on, person.address);
      expect((await refusalOf(on.confirm(app, rival, rival.session))).reason).toBe(
        'IDENTIFIER_TAKEN',
      );
      expect(await signsInTo(app, person.address)).toBe(person.accountId);
    });

    it('takes a vouched address that has lapsed as well, whatever PROOF_COLLISION says', async () => {
      await using lenient = await house.open({ PROOF_COLLISION: 'contact' });
      const loser = await vouched(on);
      await sql`update identifiers set state = 'lapsed'
        where account_id = ${loser.accountId}::uuid and type = ${on.type}`.execute(app.db);
      const prover = await holder(lenient, on, loser.address);
      expect(await addressesOf(lenient, prover.accountId)).toMatchObject([{ state: 'verified' }]);
      expect(await addressesOf(lenient, loser.accountId)).toMatchObject([{ state: 'disputed' }]);
    });

    it('lets a contact recover its own account as the holder recovers the other, by registered delivery (R3)', async () => {
      await using lenient = await house.open({
        PROOF_COLLISION: 'contact',
        RECOVERY_DELIVERY: 'registered',
      });
      const owner = await holder(lenient, on);
      const second = await holder(lenient, on, owner.address);
      for (const { username, accountId } of [owner, second]) {
        lenient.clock.advance({ seconds: 61 });
        const { challenge } = await lenient.auth.requestPasswordReset({ identifier: username });
        const { resetToken } = await lenient.auth.verifyPasswordResetCode({
          challengeId: challenge?.challengeId ?? '',
          code: await codeFor(lenient, owner.address),
        });
        const newPassword = `a new password of ${accountId}`;
        await lenient.auth.resetPassword({ resetToken, newPassword });
        const back = await lenient.auth.signIn({ identifier: username, password: newPassword });
        expect(back.accountId).toBe(accountId);
      }
    });

    it('does nothing to the holder for a code that is wrong', async () => {
      const owner = await vouched(on);
      const rival = await claimant(app, on, owner.address);
      const wrong = String((Number(rival.code) + 1) % 1_000_000).padStart(6, '0');
      await refusalOf(on.confirm(app, { code: wrong }, rival.session));
      expect(await addressesOf(app, owner.accountId)).toMatchObject([{ state: 'verified' }]);
    });

    it('keeps a change of address pending until it is proven, whatever is switched meanwhile (V4)', async () => {
      const person = await holder(app, on);
      const next = on.address();
      app.clock.advance({ seconds: 61 });
      await on.send(app, person.session, next);
      const code = await codeFor(app, next);
      await app.auth.setSignInEnabled({ type: on.wireType, enabled: false }, person.session);
      await on.confirm(app, { code }, person.session);
      expect(await addressesOf(app, person.accountId)).toEqual([
        { type: on.type, value: next, state: 'verified', sign_in_enabled: false },
      ]);
    });

    it('links one of a type, and never a second: the former goes with the proof (V5)', async () => {
      const person = await signUp(app);
      const values = [on.address(), on.address(), on.address()];
      for (const value of values) {
        await prove(app, on, person, value);
        app.clock.advance({ seconds: 61 });
        expect(await addressesOf(app, person.accountId)).toMatchObject([{ value }]);
      }
      const { account } = await app.auth.getAccount({}, person);
      expect(account?.identifiers.map(({ type }) => type)).toEqual([
        IdentifierType.USERNAME,
        on.wireType,
      ]);
    });
  });
});
