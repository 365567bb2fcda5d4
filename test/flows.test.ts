import { afterAll, beforeAll, expect, it } from 'vitest';
import { eachDatabase } from './support/databases.js';
import { PASSWORD, signUp, unique } from './support/people.js';
import { startTestApp, type TestApp } from './support/test-app.js';

eachDatabase('the main job', (database) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ database: database() });
  });
  afterAll(() => app[Symbol.asyncDispose]());

  it('signs up, proves a phone and an email, and signs in by either', async () => {
    const email = unique.email();
    const phoneNumber = unique.phone();
    const person = await signUp(app, { email, phoneNumber });
    const [emailChallenge = '', phoneChallenge = ''] = person.challengeIds;
    await app.mailbox.waitFor(({ to }) => to === phoneNumber);
    await app.mailbox.waitFor(({ to }) => to === email);
    const phone = await app.auth.confirmPhoneNumber({
      challengeId: phoneChallenge,
      code: app.mailbox.codeFor(phoneNumber),
    });
    expect(phone.identifier).toMatchObject({
      value: phoneNumber,
      verified: true,
      signInEnabled: true,
    });
    const proven = await app.auth.confirmEmail(
      { challengeId: emailChallenge, code: app.mailbox.codeFor(email) },
      { accessToken: person.accessToken },
    );
    expect(proven.identifier).toMatchObject({ value: email, verified: true, signInEnabled: true });
    for (const identifier of [email, phoneNumber, person.username]) {
      const { accountId } = await app.auth.signIn({ identifier, password: PASSWORD });
      expect(accountId).toBe(person.accountId);
    }
  });
});
