import { afterAll, beforeAll, expect, it } from 'vitest';
import { eachDatabase } from '../support/databases.js';
import { signUp, unique } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';

/** Soft limits on sends belong to the address: only a message that went to it uses them up (T1, T4). */
eachDatabase('the share of an address', (database) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({
      database: database(),
      env: { LIMIT_SENDS_PER_ADDRESS_SHORT: '2/1h', LIMIT_SIGN_UPS_IN_ALL: '1000/1h' },
    });
  });
  afterAll(() => app[Symbol.asyncDispose]());

  const reasonOf = (call: Promise<unknown>) =>
    call.then(
      () => 'OK',
      (error: { reason?: string }) => error.reason,
    );

  it('is not used up by sign-ups that fail: a stranger cannot silence an owner', async () => {
    const { username } = await signUp(app);
    const email = unique.email();
    for (let i = 0; i < 5; i += 1) {
      const call = app.auth.signUp({ username, password: 'quite another password', email });
      expect(await reasonOf(call)).toBe('USERNAME_TAKEN');
    }
    expect((await signUp(app, { email })).response.challenges).toHaveLength(1);
  });

  it('is not used up by sends that are refused or repeated, with and without an address', async () => {
    const email = unique.email();
    const requestId = crypto.randomUUID();
    const { accessToken } = await signUp(app);
    const session = { accessToken };
    await app.auth.sendEmailVerificationCode({ email, requestId }, session);
    for (let i = 0; i < 4; i += 1) {
      expect(await reasonOf(app.auth.sendEmailVerificationCode({ email }, session))).toBe(
        'RESEND_TOO_SOON',
      );
      expect(await reasonOf(app.auth.sendEmailVerificationCode({}, session))).toBe(
        'RESEND_TOO_SOON',
      );
      await app.auth.sendEmailVerificationCode({ email, requestId }, session);
    }
    app.clock.advance({ seconds: 61 });
    await app.auth.sendEmailVerificationCode({ email }, session);
    app.clock.advance({ seconds: 61 });
    expect(await reasonOf(app.auth.sendEmailVerificationCode({ email }, session))).toBe(
      'RATE_LIMITED',
    );
  });
});
