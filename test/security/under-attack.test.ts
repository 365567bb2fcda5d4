import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type ChannelCase,
  codeFor,
  delivered,
  email,
  failuresOf,
  guessWrong,
  type House,
  openHouse,
  sms,
} from '../accounts/house.js';
import {
  ask as askForReset,
  NEW_PASSWORD,
  type Recoverer,
  reasonOf,
  recover,
  withBoth,
} from '../recovery/recovering.js';
import { ask as askToSignIn, signInByPhone } from '../sign-in/phone-house.js';
import { eachDatabase } from '../support/databases.js';
import { outcomeOf } from '../support/outcome.js';
import { PASSWORD, wrongCode } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

const LONG = /^[0-9]{20}$/;
const SHORT = /^[0-9]{6}$/;

interface Asked {
  readonly challengeId: string;
}

/** A flow that anybody may begin for an address, and that ends inside the account. */
interface Door {
  readonly name: string;
  readonly on: ChannelCase;
  addressOf(owner: Recoverer): string;
  ask(app: TestApp, address: string, challengeId?: string): Promise<Asked>;
  enter(app: TestApp, guess: Asked & { readonly code: string }): Promise<unknown>;
}

const resetBy = (on: ChannelCase, addressOf: Door['addressOf']): Door => ({
  name: `recovery by ${on.type}`,
  on,
  addressOf,
  ask: askForReset,
  async enter(app, guess) {
    const { resetToken } = await app.auth.verifyPasswordResetCode(guess);
    await app.auth.resetPassword({ resetToken, newPassword: NEW_PASSWORD });
  },
});

const doors: readonly Door[] = [
  {
    name: 'phone sign-in',
    on: sms,
    addressOf: ({ phone }) => phone,
    ask: (app, phone, challengeId) =>
      askToSignIn(app, phone, challengeId === undefined ? {} : { challengeId }),
    enter: (app, guess) => app.auth.completePhoneSignIn(guess),
  },
  resetBy(sms, ({ phone }) => phone),
  resetBy(email, ({ email: address }) => address),
];

eachDatabase('the person under attack', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  /** A stranger's flow, and five wrong codes in it. */
  async function burn(door: Door, owner: Recoverer): Promise<void> {
    const address = door.addressOf(owner);
    const { challengeId } = await door.ask(app, address);
    const code = wrongCode((await codeFor(app, address)).slice(0, 6));
    const reasons: string[] = [];
    for (let n = 1; n <= 6; n += 1) {
      reasons.push(await reasonOf(door.enter(app, { challengeId, code })));
    }
    expect(reasons).toEqual([...Array(5).fill('CODE_INVALID'), 'VERIFICATION_LOCKED']);
  }

  /** Signed in lately, and a moment after the last code was sent. */
  async function signedIn(owner: Recoverer): Promise<{ readonly accessToken: string }> {
    app.clock.advance({ seconds: 61 });
    const request = { identifier: owner.username, password: PASSWORD };
    const { tokens } = await app.auth.signIn(request);
    return { accessToken: tokens?.accessToken ?? '' };
  }

  describe.each(doors)('by $name', (door) => {
    it('asks once more, in the flow that was begun before, and is in: the code is a long one', async () => {
      const owner = await withBoth(app);
      const address = door.addressOf(owner);
      const { challengeId } = await door.ask(app, address);
      const early = await codeFor(app, address);
      expect(early).toMatch(SHORT);
      app.clock.advance({ seconds: 61 });
      await burn(door, owner);
      expect(await reasonOf(door.enter(app, { challengeId, code: early }))).toBe(
        'VERIFICATION_LOCKED',
      );
      expect((await door.ask(app, address, challengeId)).challengeId).toBe(challengeId);
      const code = await codeFor(app, address);
      expect(code).toMatch(LONG);
      expect(await outcomeOf(door.enter(app, { challengeId, code }))).toBe('OK');
    });

    it('gets in at once when the lock was the last of a month: 50 wrong ones, and long codes from then on', async () => {
      const owner = await withBoth(app);
      const address = door.addressOf(owner);
      const key = { channel: door.on.channel, lane: 'anonymous' } as const;
      for (let lock = 1; lock <= 10; lock += 1) {
        await burn(door, owner);
        app.clock.advance({ minutes: 15, seconds: 1 });
      }
      expect(await failuresOf(app, owner.accountId, key)).toMatchObject({ window_failures: 50 });
      for (const wait of [0, 29]) {
        app.clock.advance({ days: wait });
        const { challengeId } = await door.ask(app, address);
        const code = await codeFor(app, address);
        expect(code).toMatch(LONG);
        const short = wrongCode(code).slice(-6);
        expect(await reasonOf(door.enter(app, { challengeId, code: short }))).toBe(
          'VERIFICATION_LOCKED',
        );
        expect(await outcomeOf(door.enter(app, { challengeId, code }))).toBe('OK');
        expect(await failuresOf(app, owner.accountId, key)).toMatchObject({ window_failures: 50 });
      }
      app.clock.advance({ days: 1, minutes: 1 });
      await door.ask(app, address);
      expect(await codeFor(app, address)).toMatch(SHORT);
    });

    it('is not touched where they are signed in: the code that they had confirms, and all five tries are theirs', async () => {
      const owner = await withBoth(app);
      const session = await signedIn(owner);
      const address = door.addressOf(owner);
      await door.on.send(app, session, address);
      const code = await codeFor(app, address);
      expect(code).toMatch(SHORT);
      await burn(door, owner);
      const lane = { channel: door.on.channel, lane: 'session' } as const;
      expect(await failuresOf(app, owner.accountId, lane)).toMatchObject({ window_failures: 0 });
      const wrong = await guessWrong(app, door.on, { code }, 4, session);
      expect(wrong.map(({ metadata }) => metadata['attempts_left'])).toEqual(['4', '3', '2', '1']);
      expect(await outcomeOf(door.on.confirm(app, { code }, session))).toBe('OK');
    });

    it('links another address while the old one is under attack: the session lane of the account stays open', async () => {
      const owner = await withBoth(app);
      const session = await signedIn(owner);
      await burn(door, owner);
      const another = door.on.address();
      await door.on.send(app, session, another);
      const code = await codeFor(app, another);
      expect(await outcomeOf(door.on.confirm(app, { code }, session))).toBe('OK');
    });

    it('is as well at the other channel as before: its codes are short, and judged', async () => {
      const owner = await withBoth(app);
      await burn(door, owner);
      const other = door.on === sms ? resetBy(email, ({ email: to }) => to) : (doors[0] ?? door);
      const { challengeId } = await other.ask(app, other.addressOf(owner));
      const code = await codeFor(app, other.addressOf(owner));
      expect(code).toMatch(SHORT);
      expect(await outcomeOf(other.enter(app, { challengeId, code }))).toBe('OK');
    });
  });

  describe('whose password strangers have locked', () => {
    const signIn = (identifier: string, password = PASSWORD) =>
      outcomeOf(app.auth.signIn({ identifier, password }));

    async function locked(): Promise<Recoverer> {
      const owner = await withBoth(app);
      for (let n = 1; n <= 5; n += 1) await signIn(owner.username, 'not the password');
      expect(await signIn(owner.username)).toBe('SIGN_IN_LOCKED');
      // What was typed is open, the account is not: nothing is compared, and it looks like wrong.
      expect(await signIn(owner.email)).toBe('CREDENTIALS_INVALID');
      return owner;
    }

    it('signs in by phone meanwhile, and the password opens the account again', async () => {
      const owner = await locked();
      expect((await signInByPhone(app, owner.phone)).accountId).toBe(owner.accountId);
      expect(await signIn(owner.email)).toBe('OK');
    });

    it.each(['email', 'phone'] as const)(
      'recovers by %s meanwhile, and the new password works by every identifier at once',
      async (by) => {
        const owner = await locked();
        await recover(app, owner[by]);
        for (const identifier of [owner.username, owner.email, owner.phone]) {
          expect(await signIn(identifier, NEW_PASSWORD)).toBe('OK');
        }
      },
    );

    it('changes the password meanwhile where they are signed in: that count is their own', async () => {
      const owner = await locked();
      const session = { accessToken: owner.accessToken };
      const change = (currentPassword: string) =>
        outcomeOf(app.auth.changePassword({ currentPassword, newPassword: NEW_PASSWORD }, session));
      expect(await change('not the password')).toBe('CREDENTIALS_INVALID');
      expect(await change(PASSWORD)).toBe('OK');
    });

    it('is under attack by codes too, and still gets in by both', async () => {
      const owner = await locked();
      for (const door of [doors[0], doors[2]]) if (door !== undefined) await burn(door, owner);
      await delivered(app);
      await signInByPhone(app, owner.phone);
      await recover(app, owner.email);
      expect(await signIn(owner.email, NEW_PASSWORD)).toBe('OK');
    });
  });
});
