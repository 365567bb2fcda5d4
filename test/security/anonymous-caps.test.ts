import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { rpcGroups } from '../../src/callers/index.js';
import { codeFor, delivered, type House, newCaller, openHouse } from '../accounts/house.js';
import { eachDatabase } from '../support/databases.js';
import { signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

eachDatabase('what strangers may ask for in all', (database) => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse(database());
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const flows = async ({ db }: TestApp): Promise<number> => {
    const { rows } = await sql<{ count: number }>`
      select count(*)::int as count from challenges`.execute(db);
    return rows[0]?.count ?? 0;
  };

  it('is counted for every row that is written, by made-up ids too', async () => {
    const app = await house.open({ LIMIT_ANONYMOUS_IN_ALL: '5/1h' });
    const [before, messages] = [await flows(app), app.mailbox.messages.length];
    for (let calls = 0; calls < 12; calls += 1) {
      const phoneNumber = unique.phone();
      const { challenge } = await app.auth.requestPhoneSignIn({
        phoneNumber,
        challengeId: randomUUID(),
      });
      expect(challenge?.maskedDestination).toContain(phoneNumber.slice(-2));
    }
    await delivered(app);
    expect(await flows(app)).toBe(before + 5);
    expect(app.mailbox.messages).toHaveLength(messages);
  });

  it('is counted for requests that are held back', async () => {
    const callerKey = await newCaller(house.app, rpcGroups);
    const app = await house.open({ LIMIT_ANONYMOUS_IN_ALL: '5/1h' }, { callerKey });
    const before = await flows(app);
    const email = unique.email();
    for (let calls = 0; calls < 12; calls += 1) {
      await app.auth.resendEmailConfirmation({ email }, { clientAddress: '203.0.113.80' });
    }
    expect(await flows(app)).toBe(before + 5);
  });

  it('holds for messages whose way the account chooses', async () => {
    const app = await house.open({ RECOVERY_DELIVERY: 'registered', LIMIT_SMS_IN_ALL: '3/1h' });
    const phoneNumber = unique.phone();
    const { accessToken, username } = await signUp(app, { phoneNumber });
    const code = await codeFor(app, phoneNumber);
    await app.auth.confirmPhoneNumber({ code }, { accessToken });
    const ask = async () => {
      await app.auth.requestPasswordReset({ identifier: username });
      await delivered(app);
      return app.mailbox.messages.filter(({ to }) => to === phoneNumber).length;
    };
    // One was the proof's. The answers never tell where it ends.
    expect([await ask(), await ask(), await ask(), await ask()]).toEqual([2, 3, 3, 3]);
  });
});
