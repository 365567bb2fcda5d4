import { afterAll, beforeAll, expect, it } from 'vitest';
import { codeFor, delivered, type House, openHouse, refusalOf } from '../accounts/house.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique, wrongCode } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

eachDatabase('an identifier that was removed and proven again (rule 6)', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  /** Somebody with a proven phone, who can still give it up. */
  async function owner() {
    const phoneNumber = unique.phone();
    const { accessToken, accountId, username } = await signUp(app, { phoneNumber });
    const access = { accessToken };
    await app.auth.confirmPhoneNumber({ code: await codeFor(app, phoneNumber) }, access);
    app.clock.advance({ seconds: 61 });
    return { phoneNumber, access, accountId, username };
  }

  async function takeAwayAndProveAgain({ phoneNumber, access }: Awaited<ReturnType<typeof owner>>) {
    await app.auth.removePhoneNumber({}, access);
    await app.auth.sendPhoneVerificationCode({ phoneNumber }, access);
    await app.auth.confirmPhoneNumber({ code: await codeFor(app, phoneNumber) }, access);
  }

  it('does not bring a sign-in code of before to life again', async () => {
    const person = await owner();
    const { phoneNumber } = person;
    const { challenge } = await app.auth.requestPhoneSignIn({ phoneNumber });
    const flow = {
      challengeId: challenge?.challengeId ?? '',
      code: await codeFor(app, phoneNumber),
    };
    await takeAwayAndProveAgain(person);
    expect((await refusalOf(app.auth.completePhoneSignIn(flow))).reason).toBe('CODE_EXPIRED');
    await delivered(app);
    // One that is asked for now is of the number as it is now.
    const again = await app.auth.requestPhoneSignIn({ phoneNumber });
    const code = await codeFor(app, phoneNumber);
    const challengeId = again.challenge?.challengeId ?? '';
    await app.auth.completePhoneSignIn({ challengeId, code });
  });

  /** A flow of a number that is nobody's, and what makes it this account's. */
  async function flowOfNextNumber({ access }: Awaited<ReturnType<typeof owner>>) {
    const next = unique.phone();
    const { challenge } = await app.auth.requestPhoneSignIn({ phoneNumber: next });
    const flow = { challengeId: challenge?.challengeId ?? '', code: await codeFor(app, next) };
    const change = async () => {
      await app.auth.sendPhoneVerificationCode({ phoneNumber: next }, access);
      await app.auth.confirmPhoneNumber({ code: await codeFor(app, next) }, access);
    };
    return { flow, change };
  }

  it('signs in by a code that was made while the number was nobody’s', async () => {
    const person = await owner();
    const { flow, change } = await flowOfNextNumber(person);
    await change();
    const done = await app.auth.completePhoneSignIn(flow);
    expect(done).toMatchObject({ accountId: person.accountId, isFirstSignIn: false });
  });

  it('does not, once what kills the account’s own codes has happened (rules 6, 16)', async () => {
    const person = await owner();
    const { flow, change } = await flowOfNextNumber(person);
    await change();
    const passwords = { currentPassword: PASSWORD, newPassword: `${PASSWORD} anew` };
    await app.auth.changePassword(passwords, person.access);
    expect((await refusalOf(app.auth.completePhoneSignIn(flow))).reason).toBe('CODE_EXPIRED');
  });

  it('does not, while the account’s own budget is shut: it was not asked before (rule 3)', async () => {
    const person = await owner();
    const { flow, change } = await flowOfNextNumber(person);
    const asked = await app.auth.requestPhoneSignIn({ phoneNumber: person.phoneNumber });
    const challengeId = asked.challenge?.challengeId ?? '';
    const code = wrongCode(await codeFor(app, person.phoneNumber));
    for (let tries = 0; tries < 5; tries += 1) {
      const guess = app.auth.completePhoneSignIn({ challengeId, code });
      expect((await refusalOf(guess)).reason).toBe('CODE_INVALID');
    }
    await change();
    expect((await refusalOf(app.auth.completePhoneSignIn(flow))).reason).toBe('CODE_EXPIRED');
  });

  it('does not bring a reset code or a reset token of before to life again', async () => {
    const person = await owner();
    const identifier = person.phoneNumber;
    const ask = async () => {
      const { challenge } = await app.auth.requestPasswordReset({ identifier });
      const code = await codeFor(app, identifier);
      return { challengeId: challenge?.challengeId ?? '', code };
    };
    const early = await ask();
    const { resetToken } = await app.auth.verifyPasswordResetCode(await ask());
    await takeAwayAndProveAgain(person);
    expect((await refusalOf(app.auth.verifyPasswordResetCode(early))).reason).toBe('CODE_EXPIRED');
    const reset = app.auth.resetPassword({ resetToken, newPassword: `${PASSWORD} anew` });
    expect((await refusalOf(reset)).reason).toBe('CODE_EXPIRED');
    await app.auth.signIn({ identifier: person.username, password: PASSWORD });
  });
});
