import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import type { CallOptions } from '../../src/client/index.js';
import {
  addressesOf,
  type ChannelCase,
  type Claimant,
  channels,
  codeFor,
  email,
  type House,
  holder,
  messagesTo,
  openHouse,
  present,
  sms,
} from '../accounts/house.js';
import { ask, NEW_PASSWORD, proven, recover, tokenFor, withBoth } from '../recovery/recovering.js';
import { askForCode, ask as askToSignIn, signInByPhone } from '../sign-in/phone-house.js';
import { eachDatabase } from '../support/databases.js';
import { outcomeOf } from '../support/outcome.js';
import { PASSWORD, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

const LONG_AGO = { daysAgo: 31 };
const THIEFS_PASSWORD = 'what the thief would like';
const CODE = /(?<![0-9])(?:[0-9]{6}|[0-9]{20})(?![0-9])/;

eachDatabase('a thief with a stolen access token', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const signIn = (identifier: string, password: string) =>
    outcomeOf(app.auth.signIn({ identifier, password }));

  /** Somebody who has had this one address for long; `session` is what is stolen. */
  async function ownerOf(on: ChannelCase): Promise<Claimant> {
    const owner = await holder(app, on);
    await proven(app, owner.accountId, LONG_AGO);
    app.clock.advance({ seconds: 61 });
    return owner;
  }

  /** Links an address of the thief's to the account, or changes to it. */
  async function addTo(session: CallOptions, on: ChannelCase): Promise<string> {
    const address = on.address();
    await on.send(app, session, address);
    await on.confirm(app, { code: await codeFor(app, address) }, session);
    return address;
  }

  /** Everything that a person may do with a token, none of which may work any more. */
  async function expectPowerless(token: CallOptions): Promise<void> {
    const { auth } = app;
    const calls: Readonly<Record<string, Promise<unknown>>> = {
      getAccount: auth.getAccount({}, token),
      updateProfile: auth.updateProfile({ profile: { displayName: 'Mallory' } }, token),
      updateSettings: auth.updateSettings({ settings: { locale: 'vi' } }, token),
      changePassword: auth.changePassword(
        { currentPassword: PASSWORD, newPassword: THIEFS_PASSWORD },
        token,
      ),
      sendEmail: auth.sendEmailVerificationCode({ email: unique.email() }, token),
      sendPhone: auth.sendPhoneVerificationCode({ phoneNumber: unique.phone() }, token),
      confirmEmail: auth.confirmEmail({ code: '123456' }, token),
      confirmPhone: auth.confirmPhoneNumber({ code: '123456' }, token),
      setPhoneNumber: auth.setPhoneNumber({ phoneNumber: unique.phone() }, token),
      removePhoneNumber: auth.removePhoneNumber({}, token),
      removeEmail: auth.removeEmail({}, token),
      setSignInEnabled: auth.setSignInEnabled({ type: email.wireType, enabled: false }, token),
      listSessions: auth.listSessions({}, token),
      revokeSession: auth.revokeSession({ sessionId: 'any' }, token),
      signOutEverywhere: auth.signOutEverywhere({}, token),
      closeAccount: auth.closeAccount({}, token),
    };
    const outcomes = await Promise.all(
      Object.entries(calls).map(async ([rpc, call]) => [rpc, await outcomeOf(call)]),
    );
    expect(Object.fromEntries(outcomes)).toEqual(
      Object.fromEntries(Object.keys(calls).map((rpc) => [rpc, 'ACCESS_TOKEN_INVALID'])),
    );
    const { accessToken = '' } = token;
    await expect
      .poll(async () => (await auth.introspectToken({ accessToken })).active, { timeout: 5_000 })
      .toBe(false);
  }

  /** No door opens by an address that the thief added; `password` is the owner's new one, the best case. */
  async function expectUseless(address: string, on: ChannelCase): Promise<void> {
    app.clock.advance({ minutes: 2 });
    const before = (await messagesTo(app, address)).length;
    expect(await signIn(address, NEW_PASSWORD)).toBe('CREDENTIALS_INVALID');
    expect(await signIn(address, PASSWORD)).toBe('CREDENTIALS_INVALID');
    await ask(app, address);
    if (on === sms) await askToSignIn(app, address);
    const since = (await messagesTo(app, address)).slice(before);
    expect(since.filter(({ text }) => CODE.test(text))).toEqual([]);
  }

  const reset = async (owner: Pick<Claimant, 'address'>) => {
    app.clock.advance({ minutes: 2 });
    await recover(app, owner.address);
  };

  async function expectIn(
    owner: Pick<Claimant, 'accountId' | 'username'>,
    ...identifiers: readonly string[]
  ): Promise<void> {
    for (const identifier of [owner.username, ...identifiers]) {
      const { accountId } = await app.auth.signIn({ identifier, password: NEW_PASSWORD });
      expect(accountId).toBe(owner.accountId);
    }
  }

  describe.each(channels)('from somebody who holds the $type alone', (on) => {
    const other = on === email ? sms : email;

    it(`adds the ${other.type}, the owner resets: token, session and address open nothing`, async () => {
      const owner = await ownerOf(on);
      const address = await addTo(owner.session, other);
      expect(await signIn(address, PASSWORD)).toBe('OK');
      await reset(owner);
      await expectPowerless(owner.session);
      const { refreshToken } = owner;
      expect(await outcomeOf(app.auth.refreshSession({ refreshToken }))).toBe(
        'REFRESH_TOKEN_INVALID',
      );
      await expectUseless(address, other);
      await expectIn(owner, owner.address);
      expect(await addressesOf(app, owner.accountId)).toMatchObject(
        [
          { type: on.type, value: owner.address, state: 'verified', sign_in_enabled: true },
          { type: other.type, value: address, state: 'lapsed', sign_in_enabled: false },
        ].sort((a, b) => a.type.localeCompare(b.type)),
      );
    });

    it('is refused once the authentication is over ten minutes old, whatever it is about', async () => {
      const owner = await ownerOf(on);
      app.clock.advance({ minutes: 10, seconds: 1 });
      const { session } = owner;
      const { auth } = app;
      const changes: readonly (() => Promise<unknown>)[] = [
        () => other.send(app, session, other.address()),
        () => on.send(app, session, on.address()),
        () => auth.setPhoneNumber({ phoneNumber: unique.phone() }, session),
        () => (on === email ? auth.removeEmail({}, session) : auth.removePhoneNumber({}, session)),
        () => auth.setSignInEnabled({ type: on.wireType, enabled: false }, session),
        () => auth.closeAccount({}, session),
      ];
      for (const change of changes) {
        expect(await outcomeOf(change())).toBe('REAUTHENTICATION_REQUIRED');
      }
      expect(await addressesOf(app, owner.accountId)).toEqual([
        { type: on.type, value: owner.address, state: 'verified', sign_in_enabled: true },
      ]);
    });

    it('is told of: the owner hears of the address that was added, and of the reset', async () => {
      const owner = await ownerOf(on);
      const before = (await messagesTo(app, owner.address)).length;
      await addTo(owner.session, other);
      expect(await messagesTo(app, owner.address)).toHaveLength(before + 1);
      await reset(owner);
      // The code, and that the password was reset.
      expect(await messagesTo(app, owner.address)).toHaveLength(before + 3);
    });

    it('resets the password by the address that was added; the owner resets after that, and stays', async () => {
      const owner = await ownerOf(on);
      const address = await addTo(owner.session, other);
      app.clock.advance({ minutes: 2 });
      await recover(app, address, THIEFS_PASSWORD);
      const { tokens } = await app.auth.signIn({ identifier: address, password: THIEFS_PASSWORD });
      await reset(owner);
      await expectPowerless({ accessToken: present(tokens).accessToken });
      expect(await signIn(address, THIEFS_PASSWORD)).toBe('CREDENTIALS_INVALID');
      await expectUseless(address, other);
      await expectIn(owner, owner.address);
    });

    it('keeps codes and a reset token for later: they die with the reset', async () => {
      const owner = await ownerOf(on);
      const address = await addTo(owner.session, other);
      const another = other.address();
      app.clock.advance({ minutes: 2 });
      const pending = await other.send(app, owner.session, another);
      const pendingCode = await codeFor(app, another);
      const resetToken = await tokenFor(app, address);
      const asked = await ask(app, address);
      const resetCode = await codeFor(app, address);
      const signInCode = other === sms ? await askForCode(app, address) : undefined;
      await recover(app, owner.address);
      const late = app.auth.resetPassword({ resetToken, newPassword: THIEFS_PASSWORD });
      expect(await outcomeOf(late)).toBe('CODE_EXPIRED');
      const { challengeId } = pending;
      const claim = other.confirm(app, { challengeId, code: pendingCode });
      expect(await outcomeOf(claim)).toBe('CODE_EXPIRED');
      const code = { challengeId: asked.challengeId, code: resetCode };
      expect(await outcomeOf(app.auth.verifyPasswordResetCode(code))).toBe('CODE_EXPIRED');
      if (signInCode !== undefined) {
        expect(['CODE_EXPIRED', 'CREDENTIALS_INVALID']).toContain(
          await outcomeOf(app.auth.completePhoneSignIn(signInCode)),
        );
      }
      await expectIn(owner, owner.address);
    });

    it.each(['one', 'all'])(
      'ends sessions of the owner, %s of them: a reset brings the owner back in alone',
      async (which) => {
        const owner = await ownerOf(on);
        const { tokens } = await app.auth.signIn({ identifier: owner.address, password: PASSWORD });
        const own = { accessToken: present(tokens).accessToken };
        const { sessions } = await app.auth.listSessions({}, own);
        const sessionId = present(sessions.find(({ current }) => current)).sessionId;
        if (which === 'one') await app.auth.revokeSession({ sessionId }, owner.session);
        else await app.auth.signOutEverywhere({}, owner.session);
        expect(await outcomeOf(app.auth.getAccount({}, own))).toBe('ACCESS_TOKEN_INVALID');
        await reset(owner);
        await expectPowerless(owner.session);
        await expectIn(owner, owner.address);
      },
    );

    it('cannot set a password: the present one is asked for', async () => {
      const owner = await ownerOf(on);
      const change = app.auth.changePassword(
        { currentPassword: 'a guess of the thief', newPassword: THIEFS_PASSWORD },
        owner.session,
      );
      expect(await outcomeOf(change)).toBe('CREDENTIALS_INVALID');
      expect(await signIn(owner.address, PASSWORD)).toBe('OK');
    });
  });

  describe('who has added a phone', () => {
    it('switches off what the owner signs in by: the reset opens the username again', async () => {
      const owner = await ownerOf(email);
      const address = await addTo(owner.session, sms);
      for (const type of [IdentifierType.EMAIL, IdentifierType.USERNAME]) {
        await app.auth.setSignInEnabled({ type, enabled: false }, owner.session);
      }
      expect(await signIn(owner.username, PASSWORD)).toBe('CREDENTIALS_INVALID');
      expect(await signIn(owner.address, PASSWORD)).toBe('CREDENTIALS_INVALID');
      await reset(owner);
      await expectPowerless(owner.session);
      await expectUseless(address, sms);
      await expectIn(owner);
    });

    it('switches it on where that is by hand: the reset switches it off', async () => {
      await using byHand = await house.open({ PROMOTE_PHONE: 'manual' });
      const owner = await ownerOf(email);
      const address = sms.address();
      await sms.send(byHand, owner.session, address);
      const code = await codeFor(byHand, address);
      await sms.confirm(byHand, { code }, owner.session);
      expect(await signIn(address, PASSWORD)).toBe('CREDENTIALS_INVALID');
      const request = { type: IdentifierType.PHONE, enabled: true };
      await byHand.auth.setSignInEnabled(request, owner.session);
      expect(await signIn(address, PASSWORD)).toBe('OK');
      await reset(owner);
      await expectUseless(address, sms);
      await expectIn(owner, owner.address);
    });

    it('opens ten sessions by it: not one is left', async () => {
      const owner = await ownerOf(email);
      const phone = await addTo(owner.session, sms);
      const opened = [];
      for (let n = 1; n <= 10; n += 1) opened.push(await signInByPhone(app, phone));
      expect(opened.map(({ accountId }) => accountId)).toEqual(Array(10).fill(owner.accountId));
      await reset(owner);
      for (const { tokens, session } of opened) {
        const { refreshToken } = present(tokens);
        expect(await outcomeOf(app.auth.refreshSession({ refreshToken }))).toBe(
          'REFRESH_TOKEN_INVALID',
        );
        expect(await outcomeOf(app.auth.getAccount({}, session))).toBe('ACCESS_TOKEN_INVALID');
      }
      const last = present(opened.at(-1));
      await expectPowerless(last.session);
      const { tokens } = await app.auth.signIn({
        identifier: owner.username,
        password: NEW_PASSWORD,
      });
      const { accessToken } = present(tokens);
      const { sessions } = await app.auth.listSessions({}, { accessToken });
      expect(sessions.map(({ current }) => current)).toEqual([true]);
    });
  });

  describe.each([
    { how: 'by a code', set: false },
    { how: 'at once', set: true },
  ])("who changes the owner's phone $how", ({ set }) => {
    it('has a number that opens nothing after the reset, and the owner links the old one again', async () => {
      const both = await withBoth(app);
      app.clock.advance({ minutes: 2 });
      const owner = { ...both, address: both.email, session: { accessToken: both.accessToken } };
      const number = sms.address();
      if (set) await app.auth.setPhoneNumber({ phoneNumber: number }, owner.session);
      await sms.send(app, owner.session, number);
      await sms.confirm(app, { code: await codeFor(app, number) }, owner.session);
      expect(await signIn(number, PASSWORD)).toBe('OK');
      await reset(owner);
      await expectPowerless(owner.session);
      await expectUseless(number, sms);
      await expectIn(owner, owner.email);
      const { tokens } = await app.auth.signIn({
        identifier: owner.email,
        password: NEW_PASSWORD,
      });
      const session = { accessToken: present(tokens).accessToken };
      await sms.send(app, session, owner.phone);
      await sms.confirm(app, { code: await codeFor(app, owner.phone) }, session);
      await expectIn(owner, owner.phone);
      expect((await signInByPhone(app, owner.phone)).accountId).toBe(owner.accountId);
      expect(await addressesOf(app, owner.accountId)).toMatchObject([
        { value: owner.email, state: 'verified' },
        { value: owner.phone, state: 'verified' },
      ]);
    });
  });
});
