import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eachDatabase } from '../support/databases.js';
import { unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { addressOf, type Member, member, prove, remove, signsInTo } from './changes.js';
import {
  type ChannelCase,
  channels,
  codeFor,
  email,
  type House,
  openHouse,
  refusalOf,
  sms,
} from './house.js';

/** How an account comes to lose an address. */
const losses: readonly {
  readonly how: string;
  readonly of: readonly ChannelCase[];
  lose(app: TestApp, on: ChannelCase, person: Member): Promise<unknown>;
}[] = [
  { how: 'removed', of: channels, lose: (app, on, person) => remove(app, on, person) },
  {
    how: 'changed by a proof',
    of: channels,
    lose: (app, on, person) => prove(app, on, person, on.address()),
  },
  {
    how: 'replaced by a number that is set',
    of: [sms],
    lose: (app, _, person) => app.auth.setPhoneNumber({ phoneNumber: unique.phone() }, person),
  },
];

/** Rule 6: a changed or removed identifier kills the codes that were sent to it, whatever they are for. */
eachDatabase('codes of an address that is gone', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const resetCode = async (identifier: string) => {
    const { challenge } = await app.auth.requestPasswordReset({ identifier });
    return { challengeId: challenge?.challengeId ?? '', code: await codeFor(app, identifier) };
  };
  const signInCode = async (phoneNumber: string) => {
    const { challenge } = await app.auth.requestPhoneSignIn({ phoneNumber });
    return { challengeId: challenge?.challengeId ?? '', code: await codeFor(app, phoneNumber) };
  };
  const someone = async () => {
    const person = await member(app);
    app.clock.advance({ seconds: 61 });
    return person;
  };

  describe.each(losses)('$how', ({ of, lose }) => {
    it.each(of)('resets no password by $channel', async (on) => {
      const person = await someone();
      const sent = await resetCode(addressOf(person, on));
      await lose(app, on, person);
      expect((await refusalOf(app.auth.verifyPasswordResetCode(sent))).reason).toBe('CODE_EXPIRED');
      expect(await signsInTo(app, person.username)).toBe(person.accountId);
    });

    it.skipIf(!of.includes(sms))('signs in to no account, and makes none of its own', async () => {
      const person = await someone();
      const sent = await signInCode(person.phone);
      await lose(app, sms, person);
      const refused = await refusalOf(app.auth.completePhoneSignIn(sent));
      expect(['CODE_EXPIRED', 'CREDENTIALS_INVALID']).toContain(refused.reason);
    });
  });

  it('are dead for sign-in where the phone was switched off, and recover all the same', async () => {
    const person = await someone();
    const sent = await signInCode(person.phone);
    await app.auth.setSignInEnabled({ type: sms.wireType, enabled: false }, person);
    expect((await refusalOf(app.auth.completePhoneSignIn(sent))).reason).toBe(
      'CREDENTIALS_INVALID',
    );
    app.clock.advance({ seconds: 61 });
    await app.auth.verifyPasswordResetCode(await resetCode(person.phone));
  });

  it('are alive where the other address goes', async () => {
    const person = await someone();
    const sent = await resetCode(person.phone);
    await remove(app, email, person);
    await app.auth.verifyPasswordResetCode(sent);
  });
});
