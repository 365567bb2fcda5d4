import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, wrongCode } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import {
  addressesOf,
  budgets,
  type Claimant,
  channels,
  claimant,
  codeFor,
  delivered,
  failuresOf,
  guessWrong,
  type House,
  messagesTo,
  openHouse,
  refusalOf,
} from './house.js';

const lanes = ['session', 'anonymous'] as const;
const LONG = /^[0-9]{20}$/;

eachDatabase('guess budgets', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  /** Call options of a person as the lane has it: with the session, or with the handle alone. */
  const by = (lane: (typeof lanes)[number], person: Claimant) =>
    lane === 'session' ? person.session : undefined;
  const signedIn = async (of: TestApp, { username }: Claimant) => {
    const { tokens } = await of.auth.signIn({ identifier: username, password: PASSWORD });
    return { accessToken: tokens?.accessToken };
  };

  describe.each(channels)('by $channel', (on) => {
    describe.each(lanes)('in the %s lane', (lane) => {
      it('counts wrong codes down to a lock, which compares nothing, not even the right code (T2)', async () => {
        const person = await claimant(app, on);
        const { challengeId, code } = person;
        const wrong = await guessWrong(app, on, person, 5, by(lane, person));
        expect(wrong.map(({ reason }) => reason)).toEqual(Array(5).fill('CODE_INVALID'));
        expect(wrong.map(({ metadata }) => metadata['attempts_left'])).toEqual([
          '4',
          '3',
          '2',
          '1',
          '0',
        ]);
        const charged = await budgets(app);
        for (const guess of [code, wrongCode(code)]) {
          const locked = await refusalOf(
            on.confirm(app, { challengeId, code: guess }, by(lane, person)),
          );
          expect(locked).toMatchObject({
            reason: 'VERIFICATION_LOCKED',
            codeName: 'RESOURCE_EXHAUSTED',
          });
          expect(locked.retryAfter).toBeGreaterThan(14 * 60);
          expect(locked.retryAfter).toBeLessThanOrEqual(15 * 60);
        }
        expect(await budgets(app)).toEqual(charged);
        expect(await addressesOf(app, person.accountId)).toMatchObject([{ state: 'claimed' }]);
      });

      it('opens after LOCKOUT_DURATION for a new code; the old one is CODE_ATTEMPTS_EXHAUSTED (T2)', async () => {
        // Usually a lock outlives every code: here the code outlives the lock.
        await using quick = await house.open({ LOCKOUT_DURATION: '2m', CODE_TTL: '10m' });
        const person = await claimant(quick, on);
        const { challengeId, code, session } = person;
        await guessWrong(quick, on, person, 5, by(lane, person));
        quick.clock.advance({ seconds: 121 });
        const charged = await budgets(quick);
        for (const guess of [code, wrongCode(code)]) {
          const dead = await refusalOf(
            on.confirm(quick, { challengeId, code: guess }, by(lane, person)),
          );
          expect(dead).toMatchObject({
            reason: 'CODE_ATTEMPTS_EXHAUSTED',
            codeName: 'FAILED_PRECONDITION',
          });
        }
        expect(await budgets(quick)).toEqual(charged);
        await on.send(quick, session);
        const next = await codeFor(quick, person.address);
        expect(next).toMatch(/^[0-9]{6}$/);
        await on.confirm(quick, { challengeId, code: next }, by(lane, person));
        expect(await addressesOf(quick, person.accountId)).toMatchObject([{ state: 'verified' }]);
      });

      it('refills nothing by sending again: the count goes on (T3)', async () => {
        const person = await claimant(app, on);
        await guessWrong(app, on, person, 3, by(lane, person));
        app.clock.advance({ seconds: 61 });
        await on.send(app, person.session);
        const next = { challengeId: person.challengeId, code: await codeFor(app, person.address) };
        const wrong = await guessWrong(app, on, next, 2, by(lane, person));
        expect(wrong.map(({ metadata }) => metadata['attempts_left'])).toEqual(['1', '0']);
        expect(await refusalOf(on.confirm(app, next, by(lane, person)))).toMatchObject({
          reason: 'VERIFICATION_LOCKED',
        });
      });

      it('clears the count by success, and refunds its own charge alone in the long window (T2)', async () => {
        const person = await claimant(app, on);
        const key = { channel: on.channel, lane };
        await guessWrong(app, on, person, 4, by(lane, person));
        expect(await failuresOf(app, person.accountId, key)).toMatchObject({
          failures: 4,
          window_failures: 4,
        });
        await on.confirm(app, person, by(lane, person));
        expect(await failuresOf(app, person.accountId, key)).toEqual({
          failures: 0,
          window_failures: 4,
          locked_until: null,
        });
      });

      it('does not clear one lane by success in the other', async () => {
        const person = await claimant(app, on);
        const elsewhere = lane === 'session' ? 'anonymous' : 'session';
        await guessWrong(app, on, person, 4, by(lane, person));
        await on.confirm(app, person, by(elsewhere, person));
        expect(
          await failuresOf(app, person.accountId, { channel: on.channel, lane }),
        ).toMatchObject({ failures: 4 });
      });
    });

    it('refuses to send while the own row is shut, signed in: VERIFICATION_LOCKED, nothing sent (T2)', async () => {
      const person = await claimant(app, on);
      await guessWrong(app, on, person, 5, person.session);
      app.clock.advance({ seconds: 61 });
      for (const address of [undefined, on.address()]) {
        const refused = await refusalOf(on.send(app, person.session, address));
        expect(refused).toMatchObject({ reason: 'VERIFICATION_LOCKED' });
        expect(refused.retryAfter).toBeGreaterThan(13 * 60);
      }
      expect(await messagesTo(app, person.address)).toHaveLength(1);
      app.clock.advance({ minutes: 15 });
      expect(await refusalOf(on.confirm(app, person, person.session))).toMatchObject({
        reason: 'CODE_EXPIRED',
      });
      const session = await signedIn(app, person);
      await on.send(app, session);
      await on.confirm(app, { code: await codeFor(app, person.address) }, session);
    });

    it('keeps strangers out of the session lane: five wrong by the handle, and the person is in (T2)', async () => {
      const person = await claimant(app, on);
      await guessWrong(app, on, person, 5);
      expect(
        await refusalOf(on.confirm(app, { challengeId: person.challengeId, code: person.code })),
      ).toMatchObject({
        reason: 'VERIFICATION_LOCKED',
      });
      await on.confirm(app, { code: person.code }, person.session);
      expect(await addressesOf(app, person.accountId)).toMatchObject([{ state: 'verified' }]);
    });

    it('charges the other channel nothing', async () => {
      const other = channels.find((candidate) => candidate !== on) ?? on;
      const person = await claimant(app, on, on.address());
      const to = other.address();
      await other.send(app, person.session, to);
      const code = await codeFor(app, to);
      await guessWrong(app, on, person, 5, person.session);
      await other.confirm(app, { code }, person.session);
    });

    it('shuts an address by wrong guesses over many accounts: five, not five each (rule 3)', async () => {
      const to = on.address();
      const people = [];
      for (let n = 0; n < 6; n += 1) people.push(await claimant(app, on, to));
      const left: (string | undefined)[] = [];
      for (const person of people.slice(0, 5)) {
        const [refused] = await guessWrong(app, on, person, 1);
        left.push(refused?.metadata['attempts_left']);
      }
      expect(left).toEqual(['4', '3', '2', '1', '0']);
      const last = people[5] as Claimant;
      const { challengeId, code } = last;
      expect(await refusalOf(on.confirm(app, { challengeId, code }))).toMatchObject({
        reason: 'VERIFICATION_LOCKED',
      });
      // A lock is no weapon: whoever signs up now gets a long code, which is always judged.
      const newcomer = await claimant(app, on, to);
      expect(newcomer.code).toMatch(LONG);
      const wrong = await refusalOf(
        on.confirm(app, { challengeId: newcomer.challengeId, code: wrongCode(newcomer.code) }),
      );
      expect(wrong.reason).toBe('CODE_INVALID');
      await on.confirm(app, { challengeId: newcomer.challengeId, code: newcomer.code });
      expect(await addressesOf(app, newcomer.accountId)).toEqual([
        { type: on.type, value: to, state: 'verified', sign_in_enabled: true },
      ]);
    });

    it('sends a long code to a signed-in person whose address others have shut, and takes it', async () => {
      const to = on.address();
      const victim = await claimant(app, on, to);
      for (let n = 0; n < 5; n += 1) {
        const rival = await claimant(app, on, to);
        await guessWrong(app, on, rival, 1, rival.session);
      }
      expect(await refusalOf(on.confirm(app, { code: victim.code }, victim.session))).toMatchObject(
        {
          reason: 'VERIFICATION_LOCKED',
        },
      );
      await delivered(app);
      app.clock.advance({ seconds: 61 });
      const { challengeId } = await on.send(app, victim.session);
      expect(challengeId).toBe(victim.challengeId);
      const long = await codeFor(app, to);
      expect(long).toMatch(LONG);
      await on.confirm(app, { code: long }, victim.session);
      expect(await addressesOf(app, victim.accountId)).toMatchObject([{ state: 'verified' }]);
    });

    it('hides a shut account row from strangers: like a wrong guess, even for the right code', async () => {
      const person = await claimant(app, on);
      await guessWrong(app, on, person, 4);
      await delivered(app);
      app.clock.advance({ seconds: 61 });
      const elsewhere = on.address();
      const { challengeId } = await on.send(app, person.session, elsewhere);
      const code = await codeFor(app, elsewhere);
      // The fifth of the account, and the first of the address.
      await guessWrong(app, on, { challengeId, code }, 1);
      const refused = await refusalOf(on.confirm(app, { challengeId, code }));
      expect(refused).toMatchObject({ reason: 'CODE_INVALID', metadata: { attempts_left: '3' } });
      await on.confirm(app, { code }, person.session);
    });

    it('sends a long code, signed in too, while strangers have shut a row in their lane', async () => {
      const person = await claimant(app, on);
      await guessWrong(app, on, person, 5);
      await delivered(app);
      app.clock.advance({ seconds: 61 });
      const { challengeId } = await on.send(app, person.session);
      const code = await codeFor(app, person.address);
      expect(code).toMatch(/^[0-9]{20}$/);
      // Of the ordinary length nothing is compared meanwhile, at this challenge either (T2).
      const short = await refusalOf(on.confirm(app, { challengeId, code: code.slice(0, 6) }));
      expect(short.reason).toBe('VERIFICATION_LOCKED');
      await on.confirm(app, { challengeId, code });
    });

    it('closes short codes for a row after 50 wrong in 30 days, whatever succeeds between; long ones work', async () => {
      await using quick = await house.open({ LOCKOUT_DURATION: '1s', RESEND_COOLDOWN: '1s' });
      const person = await claimant(quick, on);
      const { session, challengeId } = person;
      let code = person.code;
      for (let round = 1; round <= 10; round += 1) {
        const wrong = await guessWrong(quick, on, { challengeId, code }, 5, session);
        expect(wrong.every(({ reason }) => reason === 'CODE_INVALID')).toBe(true);
        if (round === 5) {
          // Success in between clears the lock, not the window.
          quick.clock.advance({ seconds: 2 });
          await on.send(quick, session);
          await on.confirm(quick, { code: await codeFor(quick, person.address) }, session);
        }
        quick.clock.advance({ seconds: 2 });
        if (round === 10) break;
        await on.send(quick, session);
        code = await codeFor(quick, person.address);
        expect(code).toMatch(/^[0-9]{6}$/);
      }
      const key = { channel: on.channel, lane: 'session' as const };
      expect(await failuresOf(quick, person.accountId, key)).toMatchObject({ window_failures: 50 });
      const closed = await refusalOf(on.confirm(quick, { code }, session));
      expect(closed.reason).toBe('VERIFICATION_LOCKED');
      expect(closed.retryAfter).toBeGreaterThan(29 * 24 * 3600);
      for (let round = 0; round < 2; round += 1) {
        await on.send(quick, session);
        const long = await codeFor(quick, person.address);
        expect(long).toMatch(LONG);
        await on.confirm(quick, { code: long }, session);
        await delivered(quick);
        quick.clock.advance({ seconds: 2 });
      }
      expect(await failuresOf(quick, person.accountId, key)).toMatchObject({ window_failures: 50 });
      quick.clock.advance({ days: 30 });
      const later = await signedIn(quick, person);
      await on.send(quick, later);
      const short = await codeFor(quick, person.address);
      expect(short).toMatch(/^[0-9]{6}$/);
      await on.confirm(quick, { code: short }, later);
    });
  });
});
