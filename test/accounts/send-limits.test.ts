import { afterAll, beforeAll, expect, it } from 'vitest';
import { addCaller } from '../../src/callers/index.js';
import type { CallOptions } from '../../src/client/index.js';
import { systemClock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique, wrongCode } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';

const reasonOf = (call: Promise<unknown>) =>
  call.then(
    () => 'OK',
    (error: { reason?: string }) => error.reason,
  );

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

/** A source that proved an address is not shut out by strangers who use up what there is for it. */
eachDatabase('the share of sources that an address knows', (database) => {
  let app: TestApp;
  let auth: TestApp['auth'];
  beforeAll(async () => {
    // Only a caller that has shown its key says where a person is.
    const callerKey = await addCaller(database().db, {
      name: 'bff',
      groups: ['sign-up', 'sign-in', 'verification'],
      random: systemRandom,
      clock: systemClock,
    });
    app = await startTestApp({
      database: database(),
      callerKey,
      env: { LIMIT_SENDS_PER_ADDRESS_SHORT: '3/1h', LIMIT_KNOWN_SENDS_PER_ADDRESS_SHORT: '2/1h' },
    });
    auth = app.auth;
  });
  afterAll(() => app[Symbol.asyncDispose]());

  const HOME = '2001:db8:1:2::10';
  const SAME_HOUSE = '2001:db8:1:2:ffff::1';
  let strangers = 0;
  const elsewhere = () => {
    strangers += 1;
    return `198.51.100.${strangers}`;
  };

  /** Somebody whose address is proven, by a code that was confirmed at home. */
  async function owner() {
    const email = unique.email();
    const username = unique.username();
    const made = await auth.signUp(
      { username, password: PASSWORD, email },
      { clientAddress: HOME },
    );
    await app.mailbox.waitFor(({ to }) => to === email);
    const challengeId = made.challenges[0]?.challengeId ?? '';
    const confirm = (code: string, clientAddress: string) =>
      reasonOf(auth.confirmEmail({ challengeId, code }, { clientAddress }));
    return { email, username, confirm, code: () => app.mailbox.codeFor(email) };
  }

  /** Signs in by a name, which teaches no address anything, and asks for a code after any cooldown. */
  async function sendFrom(username: string, email: string, clientAddress: string) {
    app.clock.advance({ seconds: 61 });
    const { tokens } = await auth.signIn(
      { identifier: username, password: PASSWORD },
      { clientAddress },
    );
    const session: CallOptions = { clientAddress, accessToken: tokens?.accessToken ?? '' };
    return reasonOf(auth.sendEmailVerificationCode({ email }, session));
  }

  async function stranger() {
    const username = unique.username();
    await auth.signUp({ username, password: PASSWORD }, { clientAddress: elsewhere() });
    return username;
  }

  /** Strangers from everywhere ask for codes until there are none for them; says how many went out. */
  async function useUp(email: string): Promise<number> {
    for (let sent = 0; sent < 10; sent += 1) {
      const outcome = await sendFrom(await stranger(), email, elsewhere());
      if (outcome === 'RATE_LIMITED') return sent;
      expect(outcome).toBe('OK');
    }
    throw new Error('strangers were never stopped');
  }

  it('is open to who proved the address there 10 days ago, and 91 days later no more', async () => {
    const { email, username, confirm, code } = await owner();
    expect(await confirm(code(), HOME)).toBe('OK');
    expect(await useUp(email)).toBe(2);
    expect(await sendFrom(username, email, elsewhere())).toBe('RATE_LIMITED');
    app.clock.advance({ days: 10 });
    expect(await useUp(email)).toBe(3);
    expect(await sendFrom(username, email, elsewhere())).toBe('RATE_LIMITED');
    expect(await sendFrom(username, email, SAME_HOUSE)).toBe('OK');
    app.clock.advance({ days: 81 });
    expect(await useUp(email)).toBe(3);
    expect(await sendFrom(username, email, HOME)).toBe('RATE_LIMITED');
  });

  it('has an end too', async () => {
    const { email, username, confirm, code } = await owner();
    expect(await confirm(code(), HOME)).toBe('OK');
    for (let i = 0; i < 2; i += 1) {
      expect(await sendFrom(username, email, HOME)).toBe('OK');
    }
    expect(await sendFrom(username, email, HOME)).toBe('RATE_LIMITED');
    expect(await useUp(email)).toBe(2);
  });

  it('is opened by a sign-in with the address, and by nothing that fails', async () => {
    const { email, username, confirm, code } = await owner();
    const [office, attacker] = [elsewhere(), elsewhere()];
    expect(await confirm(wrongCode(code()), attacker)).toBe('CODE_INVALID');
    expect(await confirm(code(), HOME)).toBe('OK');
    const signIn = (password: string, clientAddress: string) =>
      reasonOf(auth.signIn({ identifier: email.toUpperCase(), password }, { clientAddress }));
    expect(await signIn('a wrong password', attacker)).toBe('CREDENTIALS_INVALID');
    expect(await signIn(PASSWORD, 'not an address')).toBe('FIELD_INVALID');
    expect(await signIn(PASSWORD, office)).toBe('OK');
    expect(await useUp(email)).toBe(2);
    expect(await sendFrom(await stranger(), email, attacker)).toBe('RATE_LIMITED');
    expect(await sendFrom(username, email, office)).toBe('OK');
  });

  it('is not opened by proving another address', async () => {
    const victim = await owner();
    expect(await victim.confirm(victim.code(), HOME)).toBe('OK');
    const attacker = await owner();
    const lair = elsewhere();
    expect(await attacker.confirm(attacker.code(), lair)).toBe('OK');
    expect(await useUp(victim.email)).toBe(2);
    expect(await sendFrom(attacker.username, victim.email, lair)).toBe('RATE_LIMITED');
    expect(await sendFrom(attacker.username, attacker.email, lair)).toBe('OK');
  });
});
