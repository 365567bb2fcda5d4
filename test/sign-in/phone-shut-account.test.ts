import { afterAll, beforeAll, expect, it } from 'vitest';
import { codeFor, type House, openHouse, refusalOf } from '../accounts/house.js';
import { eachDatabase } from '../support/databases.js';
import { signUp, unique, wrongCode } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

eachDatabase(
  'a code that was made for nobody, of a number that is somebody’s by now',
  (database) => {
    let house: House;
    let app: TestApp;
    beforeAll(async () => {
      house = await openHouse(database());
      app = house.app;
    });
    afterAll(() => house[Symbol.asyncDispose]());

    const flowOf = async (phoneNumber: string) => {
      const { challenge } = await app.auth.requestPhoneSignIn({ phoneNumber });
      const code = await codeFor(app, phoneNumber);
      return { challengeId: challenge?.challengeId ?? '', code };
    };

    async function ownerWithFlowOfNextNumber() {
      const [first, next] = [unique.phone(), unique.phone()];
      const { accessToken, accountId } = await signUp(app, { phoneNumber: first });
      const access = { accessToken };
      await app.auth.confirmPhoneNumber({ code: await codeFor(app, first) }, access);
      app.clock.advance({ seconds: 61 });
      const flow = await flowOf(next);
      const changeNumber = async () => {
        await app.auth.sendPhoneVerificationCode({ phoneNumber: next }, access);
        await app.auth.confirmPhoneNumber({ code: await codeFor(app, next) }, access);
      };
      return { first, flow, accountId, changeNumber };
    }

    it('signs in to who has the number now', async () => {
      const { flow, accountId, changeNumber } = await ownerWithFlowOfNextNumber();
      await changeNumber();
      const done = await app.auth.completePhoneSignIn(flow);
      expect(done).toMatchObject({ accountId, isFirstSignIn: false });
    });

    it('opens nothing while the account’s own budget is shut: it was not asked before (rule 3)', async () => {
      const { first, flow, changeNumber } = await ownerWithFlowOfNextNumber();
      const { challengeId, code } = await flowOf(first);
      for (let tries = 0; tries < 5; tries += 1) {
        const guess = app.auth.completePhoneSignIn({ challengeId, code: wrongCode(code) });
        expect((await refusalOf(guess)).reason).toBe('CODE_INVALID');
      }
      await changeNumber();
      expect((await refusalOf(app.auth.completePhoneSignIn(flow))).reason).toBe('CODE_EXPIRED');
    });
  },
);
