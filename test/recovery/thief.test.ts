import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { codeFor, type House, openHouse, refusalOf } from '../accounts/house.js';
import { eachDatabase } from '../support/databases.js';
import { outcomeOf } from '../support/outcome.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import {
  ask,
  channelOf,
  heldBy,
  LONG_AGO,
  lastInOutbox,
  NEW_PASSWORD,
  proven,
  recover,
  textsSince,
  tokenFor,
} from './recovering.js';

/**
 * Somebody has stolen the access token of an account while it was fresh, and adds a channel of their own. The
 * owner hears of it, and recovers by the channel that was there before.
 */
eachDatabase('a thief in the account, and the owner’s reset (rule 16)', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  describe.each([
    { owners: channelOf.email, thiefs: channelOf.sms },
    { owners: channelOf.sms, thiefs: channelOf.email },
  ])(
    'the owner has the $owners.channel, the thief adds the $thiefs.channel',
    ({ owners, thiefs }) => {
      async function stolen() {
        const owner = await heldBy(app, owners);
        await proven(app, owner.accountId, { daysAgo: LONG_AGO });
        // Signed in a moment ago, as the thief finds them.
        const { tokens } = await app.auth.signIn({
          identifier: owner.username,
          password: PASSWORD,
        });
        const session = { accessToken: tokens?.accessToken ?? '' };
        const loot = thiefs.address();
        const { challengeId } = await thiefs.send(app, session, loot);
        await thiefs.confirm(app, { challengeId, code: await codeFor(app, loot) }, session);
        return { owner, loot, session, refreshToken: tokens?.refreshToken ?? '' };
      }

      it('nothing of the thief’s opens anything afterwards', async () => {
        const { owner, loot, session, refreshToken } = await stolen();
        // What the thief can do before: the channel signs in.
        expect(await outcomeOf(app.auth.signIn({ identifier: loot, password: PASSWORD }))).toBe(
          'OK',
        );
        app.clock.advance({ seconds: 61 });
        await recover(app, owner.address);

        expect(await outcomeOf(app.auth.refreshSession({ refreshToken }))).toBe(
          'REFRESH_TOKEN_INVALID',
        );
        const mutations = [
          () => app.auth.setPhoneNumber({ phoneNumber: unique.phone() }, session),
          () => app.auth.removeEmail({}, session),
          () => app.auth.removePhoneNumber({}, session),
          () => app.auth.sendEmailVerificationCode({ email: unique.email() }, session),
          () => app.auth.sendPhoneVerificationCode({ phoneNumber: unique.phone() }, session),
          () =>
            app.auth.changePassword(
              { currentPassword: PASSWORD, newPassword: 'the thief’s own' },
              session,
            ),
          () => app.auth.closeAccount({}, session),
          () => app.auth.signOutEverywhere({}, session),
          () => app.auth.getAccount({}, session),
        ];
        for (const mutation of mutations)
          expect(await outcomeOf(mutation())).toBe('ACCESS_TOKEN_INVALID');
        expect((await app.auth.introspectToken(session)).active).toBe(false);

        for (const password of [PASSWORD, NEW_PASSWORD]) {
          const signIn = app.auth.signIn({ identifier: loot, password });
          expect(await outcomeOf(signIn)).toBe('CREDENTIALS_INVALID');
        }
        await ask(app, loot);
        expect((await lastInOutbox(app))?.state).toBe('dropped');
        const registered = await house.open({ RECOVERY_DELIVERY: 'registered' });
        await ask(registered, loot);
        expect((await lastInOutbox(registered))?.state).toBe('dropped');
        // By the username too the code goes to the owner, whichever channel would come first.
        const before = app.mailbox.messages.length;
        await ask(registered, owner.username);
        expect(await textsSince(registered, before, loot)).toEqual([]);
        expect(await textsSince(registered, before, owner.address)).toHaveLength(1);

        const back = await app.auth.signIn({ identifier: owner.username, password: NEW_PASSWORD });
        expect(back.accountId).toBe(owner.accountId);
      });

      it('nor do the flows, tokens and claims that the thief had begun', async () => {
        const { owner, loot, session } = await stolen();
        app.clock.advance({ seconds: 61 });
        const thiefToken = await tokenFor(app, loot);
        const { challengeId } = await ask(app, loot);
        const thiefCode = await codeFor(app, loot);
        const pending = owners.address();
        const change = await owners.send(app, session, pending);
        const changeCode = await codeFor(app, pending);
        await recover(app, owner.address);
        const reset = { resetToken: thiefToken, newPassword: 'the thief’s own' };
        expect(await outcomeOf(app.auth.resetPassword(reset))).toBe('CODE_EXPIRED');
        const verify = app.auth.verifyPasswordResetCode({ challengeId, code: thiefCode });
        expect(await outcomeOf(verify)).toBe('CODE_EXPIRED');
        const confirm = owners.confirm(app, { challengeId: change.challengeId, code: changeCode });
        expect(await outcomeOf(confirm)).toBe('CODE_EXPIRED');
        app.clock.advance({ seconds: 61 });
        await ask(app, loot, challengeId);
        expect((await lastInOutbox(app))?.state).toBe('dropped');
        const signIn = app.auth.signIn({ identifier: owner.username, password: NEW_PASSWORD });
        expect(await outcomeOf(signIn)).toBe('OK');
      });
    },
  );

  it('a thief’s phone does not sign in by code either, whether the code came before or after', async () => {
    const owner = await heldBy(app, channelOf.email);
    await proven(app, owner.accountId, { daysAgo: LONG_AGO });
    const loot = unique.phone();
    app.clock.advance({ seconds: 61 });
    const { challengeId } = await channelOf.sms.send(app, owner.session, loot);
    await channelOf.sms.confirm(
      app,
      { challengeId, code: await codeFor(app, loot) },
      owner.session,
    );
    const asked = await app.auth.requestPhoneSignIn({ phoneNumber: loot });
    const code = await codeFor(app, loot);
    await recover(app, owner.address);
    const early = { challengeId: asked.challenge?.challengeId ?? '', code };
    const refusal = await refusalOf(app.auth.completePhoneSignIn(early));
    expect(['CODE_EXPIRED', 'CREDENTIALS_INVALID']).toContain(refusal.reason);
    app.clock.advance({ seconds: 61 });
    const before = app.mailbox.messages.length;
    await app.auth.requestPhoneSignIn({ phoneNumber: loot });
    const texts = await textsSince(app, before, loot);
    for (const text of texts) expect(text).not.toMatch(/(?<![0-9])[0-9]{6}(?![0-9])/);
    const { rows } = await sql<{
      accounts: number;
    }>`select count(distinct account_id)::int as accounts
      from identifiers where value = ${loot}`.execute(app.db);
    expect(rows).toEqual([{ accounts: 1 }]);
  });

  it('a reset by a thief’s fresh channel leaves the owner a way back: the other one falls, the owner is told', async () => {
    const owner = await signUp(app, { email: unique.email() });
    const email =
      owner.response.account?.identifiers.find(({ value }) => value.includes('@'))?.value ?? '';
    const [emailId = ''] = owner.challengeIds;
    await app.auth.confirmEmail({ challengeId: emailId, code: await codeFor(app, email) });
    await proven(app, owner.accountId, { daysAgo: LONG_AGO });
    const session = { accessToken: owner.accessToken };
    const loot = unique.phone();
    const { challengeId } = await channelOf.sms.send(app, session, loot);
    await channelOf.sms.confirm(app, { challengeId, code: await codeFor(app, loot) }, session);
    const before = app.mailbox.messages.length;
    await recover(app, loot, 'the thief’s own phrase');
    expect(
      (await textsSince(app, before, email)).filter((text) => /was reset/.test(text)),
    ).toHaveLength(1);
    // The old channel was proven long ago, and stays: by it the owner takes the account back.
    await recover(app, email);
    expect(await outcomeOf(app.auth.signIn({ identifier: loot, password: NEW_PASSWORD }))).toBe(
      'CREDENTIALS_INVALID',
    );
    expect(await outcomeOf(app.auth.signIn({ identifier: email, password: NEW_PASSWORD }))).toBe(
      'OK',
    );
  });
});
