import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import type { CallOptions } from '../../src/client/index.js';
import {
  type ChannelCase,
  claimant,
  delivered,
  email,
  type House,
  openHouse,
  present,
  sms,
} from '../accounts/house.js';
import { resend } from '../accounts/resending.js';
import { ask as askForReset } from '../recovery/recovering.js';
import { ask as askForSignIn } from '../sign-in/phone-house.js';
import { eachDatabase } from '../support/databases.js';
import { outcomeOf } from '../support/outcome.js';
import { type Signup, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

const [ATTACKERS, OWNERS, RESET] = ['attacker knows this', 'only the owner knows', 'after a reset'];

interface Owner {
  readonly accountId: string;
  readonly session: CallOptions;
}

/** How the owner of an address comes to an account with it. */
interface Entrance {
  readonly way: string;
  readonly on: ChannelCase;
  enter(app: TestApp, address: string): Promise<Owner>;
}

const withPassword = ({ accountId, accessToken }: Signup): Owner => ({
  accountId,
  session: { accessToken },
});

async function codeTo({ mailbox, ...app }: TestApp, address: string): Promise<string> {
  await delivered({ mailbox, ...app });
  const texts = mailbox.messages.filter(({ to }) => to === address).map(({ text }) => text);
  return present(/(?<![0-9])[0-9]{6}(?![0-9])/.exec(texts.at(-1) ?? '')?.[0]);
}

const signingUp = (on: ChannelCase): Entrance => ({
  way: `signs up with the ${on.type}`,
  on,
  async enter(app, address) {
    const owner = withPassword(await signUp(app, { ...on.claim(address), password: OWNERS }));
    await on.confirm(app, { code: await codeTo(app, address) }, owner.session);
    return owner;
  },
});

const linking = (on: ChannelCase): Entrance => ({
  way: `links the ${on.type}`,
  on,
  async enter(app, address) {
    const owner = withPassword(await signUp(app, { password: OWNERS }));
    await on.send(app, owner.session, address);
    await on.confirm(app, { code: await codeTo(app, address) }, owner.session);
    return owner;
  },
});

const byPhoneAlone: Entrance = {
  way: 'signs in by phone alone',
  on: sms,
  enter: (app, phone) => signInByPhone(app, phone),
};

async function signInByPhone(app: TestApp, phone: string): Promise<Owner> {
  const { challengeId } = await askForSignIn(app, phone);
  const code = await codeTo(app, phone);
  const { accountId, tokens } = await app.auth.completePhoneSignIn({ challengeId, code });
  return { accountId, session: { accessToken: tokens?.accessToken } };
}

async function recover(app: TestApp, address: string, newPassword: string): Promise<void> {
  const { challengeId } = await askForReset(app, address);
  const code = await codeTo(app, address);
  const { resetToken } = await app.auth.verifyPasswordResetCode({ challengeId, code });
  await app.auth.resetPassword({ resetToken, newPassword });
}

const entrances = [...[email, sms].flatMap((on) => [signingUp(on), linking(on)]), byPhoneAlone];

/**
 * The five classes of "Pre-hijacked accounts" (Sudhodanan and Paverd, 2022): an attacker prepares an account
 * with an address of somebody else's, and waits for its owner. There is no federated sign-in here
 * (mission.md): its part is played by whatever proves an address without a password, and that of a provider
 * that verifies nothing by an operator's word and by contacts.
 */
eachDatabase('pre-hijacking (rule 10)', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const holdersOf = async (value: string) => {
    const { rows } = await sql<{ account_id: string; state: string }>`
      select account_id, state from identifiers where value = ${value} order by state`.execute(
      app.db,
    );
    return rows;
  };
  const identifiersOf = async (session: CallOptions): Promise<readonly string[]> => {
    const { account } = await app.auth.getAccount({}, session);
    return present(account).identifiers.map(({ value }) => value);
  };
  const accountBy = async (identifier: string, password: string) => {
    const signedIn = app.auth.signIn({ identifier, password });
    return signedIn.then(
      ({ accountId }) => accountId,
      (error: { reason: string }) => error.reason,
    );
  };
  const attackerWith = async (on: ChannelCase, address: string) => {
    const attacker = await claimant(app, on, address, { password: ATTACKERS });
    app.clock.advance({ seconds: 61 });
    return attacker;
  };
  /** The attacker's other address, really theirs. */
  const proveOther = async (attacker: Signup, other: ChannelCase) => {
    const session = { accessToken: attacker.accessToken };
    const address = other.address();
    await other.send(app, session, address);
    await other.confirm(app, { code: await codeTo(app, address) }, session);
    return address;
  };

  describe.each(entrances)('the owner $way', ({ on, enter }) => {
    const other = on === email ? sms : email;

    it('classic-federated merge: the proof lands in an account of the owner’s, which no password of the attacker’s opens', async () => {
      const address = on.address();
      const attacker = await attackerWith(on, address);
      const owner = await enter(app, address);
      expect(owner.accountId).not.toBe(attacker.accountId);
      expect(await holdersOf(address)).toEqual([
        { account_id: owner.accountId, state: 'verified' },
      ]);
      expect(await accountBy(address, ATTACKERS)).toBe('CREDENTIALS_INVALID');
      expect(await identifiersOf(owner.session)).not.toContain(attacker.username);
      await recover(app, address, RESET);
      expect(await accountBy(address, RESET)).toBe(owner.accountId);
      expect(await accountBy(attacker.username, ATTACKERS)).toBe(attacker.accountId);
    });

    it('unexpired session: the sessions that the attacker keeps are of the attacker’s own account, and see nothing of the owner’s', async () => {
      const address = on.address();
      const attacker = await attackerWith(on, address);
      const owner = await enter(app, address);
      const { tokens } = await app.auth.refreshSession({ refreshToken: attacker.refreshToken });
      for (const session of [attacker.session, { accessToken: present(tokens).accessToken }]) {
        const { account } = await app.auth.getAccount({}, session);
        expect(account?.accountId).toBe(attacker.accountId);
        expect(await identifiersOf(session)).toEqual([attacker.username]);
      }
      const { challengeId, code } = attacker;
      expect(await outcomeOf(on.confirm(app, { challengeId, code }, attacker.session))).not.toBe(
        'OK',
      );
      expect(await holdersOf(address)).toMatchObject([{ account_id: owner.accountId }]);
    });

    it('trojan identifier: an address that the attacker has added to their account leads to that account alone', async () => {
      const address = on.address();
      const attacker = await attackerWith(on, address);
      const trojan = await proveOther(attacker, other);
      const owner = await enter(app, address);
      expect(await identifiersOf(owner.session)).not.toContain(trojan);
      expect(await accountBy(trojan, ATTACKERS)).toBe(attacker.accountId);
      await recover(app, trojan, RESET);
      expect(await accountBy(trojan, RESET)).toBe(attacker.accountId);
      expect(await accountBy(address, RESET)).toBe('CREDENTIALS_INVALID');
      if (other === sms)
        expect((await signInByPhone(app, trojan)).accountId).toBe(attacker.accountId);
      // The owner's session has lived through all of it.
      expect(await identifiersOf(owner.session)).toContain(address);
    });

    it('unexpired change: one that the attacker began proves nothing any more, by session, by handle or sent again', async () => {
      const address = on.address();
      const attacker = withPassword(await signUp(app, { password: ATTACKERS }));
      const { challengeId } = await on.send(app, attacker.session, address);
      // The attacker somehow gets at the message that waited for the change.
      const code = await codeTo(app, address);
      app.clock.advance({ seconds: 61 });
      const owner = await enter(app, address);
      for (const options of [attacker.session, {}]) {
        expect(await outcomeOf(on.confirm(app, { challengeId, code }, options))).not.toBe('OK');
      }
      if (on === email) {
        const before = app.mailbox.messages.length;
        await resend(app, address, challengeId);
        await delivered(app);
        const sent = app.mailbox.messages.slice(before);
        expect(sent.filter(({ text }) => /\d{6}/.test(text))).toEqual([]);
      }
      expect(await holdersOf(address)).toEqual([
        { account_id: owner.accountId, state: 'verified' },
      ]);
    });

    it('unexpired change by a thief: it dies with the owner’s reset, the handle and the session with it', async () => {
      const [address, thiefs] = [on.address(), on.address()];
      const owner = await enter(app, address);
      app.clock.advance({ seconds: 61 });
      // The thief has the owner's access token for a while.
      const { challengeId } = await on.send(app, owner.session, thiefs);
      const code = await codeTo(app, thiefs);
      await recover(app, address, RESET);
      app.clock.advance({ seconds: 61 });
      expect(await outcomeOf(on.confirm(app, { challengeId, code }))).toBe('CODE_EXPIRED');
      expect(await outcomeOf(on.confirm(app, { challengeId, code }, owner.session))).toBe(
        'ACCESS_TOKEN_INVALID',
      );
      if (on === email) {
        const before = app.mailbox.messages.length;
        await resend(app, thiefs, challengeId);
        await delivered(app);
        expect(app.mailbox.messages.slice(before).filter(({ to }) => to === thiefs)).toEqual([]);
      }
      expect(await holdersOf(thiefs)).toEqual([]);
      expect(await accountBy(address, RESET)).toBe(owner.accountId);
    });

    it('trojan identifier by a thief: one added to the owner’s account opens nothing after the owner’s reset', async () => {
      const address = on.address();
      const owner = await enter(app, address);
      const trojan = other.address();
      await other.send(app, owner.session, trojan);
      await other.confirm(app, { code: await codeTo(app, trojan) }, owner.session);
      await recover(app, address, RESET);
      expect(await accountBy(trojan, RESET)).toBe('CREDENTIALS_INVALID');
      const before = app.mailbox.messages.length;
      await askForReset(app, trojan);
      if (other === sms) await askForSignIn(app, trojan);
      await delivered(app);
      const sent = app.mailbox.messages.slice(before).filter(({ text }) => /\d{6}/.test(text));
      expect(sent).toEqual([]);
      expect(await accountBy(address, RESET)).toBe(owner.accountId);
    });
  });

  describe.each([signingUp(email), linking(email), signingUp(sms), linking(sms)])(
    'non-verifying provider: the owner $way',
    ({ on, enter }) => {
      it('an operator’s word for the attacker is less than the owner’s proof, and signs in no more', async () => {
        const address = on.address();
        const attacker = await attackerWith(on, address);
        await sql`update identifiers set state = 'verified', sign_in_enabled = true, proven_by = 'operator',
            verified_at = now(), claim_expires_at = null
          where account_id = ${attacker.accountId}::uuid and value = ${address}`.execute(app.db);
        expect(await accountBy(address, ATTACKERS)).toBe(attacker.accountId);
        const owner = await enter(app, address);
        expect(await accountBy(address, ATTACKERS)).toBe('CREDENTIALS_INVALID');
        expect(await holdersOf(address)).toEqual([
          { account_id: attacker.accountId, state: 'disputed' },
          { account_id: owner.accountId, state: 'verified' },
        ]);
      });

      it('a contact, which another account holds, leads to nobody but its holder', async () => {
        const lenient = await house.open({ PROOF_COLLISION: 'contact' });
        const address = on.address();
        const owner = await enter(lenient, address);
        // The attacker reads one message of the owner's.
        const attacker = await claimant(lenient, on, address, { password: ATTACKERS });
        await on.confirm(lenient, attacker, attacker.session);
        expect(await holdersOf(address)).toEqual([
          { account_id: attacker.accountId, state: 'contact' },
          { account_id: owner.accountId, state: 'verified' },
        ]);
        expect(await accountBy(address, ATTACKERS)).toBe('CREDENTIALS_INVALID');
        if (on === sms) {
          expect((await signInByPhone(lenient, address)).accountId).toBe(owner.accountId);
        }
        await recover(lenient, address, RESET);
        expect(await accountBy(address, RESET)).toBe(owner.accountId);
        expect(await accountBy(attacker.username, ATTACKERS)).toBe(attacker.accountId);
      });
    },
  );

  it('non-verifying provider: nothing that a request says makes an address verified, SetPhoneNumber included', async () => {
    const [mail, phone, set] = [unique.email(), unique.phone(), unique.phone()];
    const attacker = await signUp(app, { email: mail, phoneNumber: phone, password: ATTACKERS });
    const { account } = await app.auth.setPhoneNumber({ phoneNumber: set }, attacker);
    const verified = present(account).identifiers.filter((identifier) => identifier.verified);
    expect(verified.map(({ value }) => value)).toEqual([attacker.username]);
    for (const address of [mail, phone, set]) {
      expect(await accountBy(address, ATTACKERS)).toBe('CREDENTIALS_INVALID');
    }
    // Its owner gets an account of their own, and no code recovers the attacker's.
    const owner = await signInByPhone(app, set);
    expect(owner.accountId).not.toBe(attacker.accountId);
    const before = app.mailbox.messages.length;
    await askForReset(app, mail);
    await delivered(app);
    expect(app.mailbox.messages.slice(before)).toEqual([]);
  });
});
