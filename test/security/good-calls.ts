import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import type { AuthClient, CallOptions } from '../../src/client/index.js';
import type { AuthMethod } from '../../src/grpc/index.js';
import { codeFor, delivered } from '../accounts/house.js';
import { PASSWORD, signUp, unique, wrongCode } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

/** One call of an RPC that succeeds, with everything that it needs made ready. */
export interface GoodCall {
  /** Of the person for whom it is made, where there is one. */
  readonly accessToken?: string;
  call(auth: AuthClient, options: CallOptions): Promise<unknown>;
  /** The same with a secret that is not right. */
  wrong?(auth: AuthClient, options: CallOptions): Promise<unknown>;
}

type Preparation = (app: TestApp) => Promise<GoodCall>;

async function person(app: TestApp, fields: Parameters<typeof signUp>[1] = {}) {
  const { accessToken, ...rest } = await signUp(app, fields);
  return { ...rest, accessToken };
}

/** Somebody with an email and a phone that are proven. */
async function proven(app: TestApp) {
  const [email, phoneNumber] = [unique.email(), unique.phone()];
  const made = await person(app, { email, phoneNumber });
  const access = { accessToken: made.accessToken };
  await app.auth.confirmEmail({ code: await codeFor(app, email) }, access);
  await app.auth.confirmPhoneNumber({ code: await codeFor(app, phoneNumber) }, access);
  // The cooldown of what was sent is over.
  app.clock.advance({ seconds: 61 });
  return { ...made, email, phoneNumber };
}

const signedIn =
  (call: (auth: AuthClient, options: CallOptions) => Promise<unknown>): Preparation =>
  async (app) => {
    const { accessToken } = await proven(app);
    return { accessToken, call };
  };

/** A claim and its code: shown with the handle, by whoever has it. */
const confirming =
  (
    rpc: 'confirmEmail' | 'confirmPhoneNumber',
    before = async (_app: TestApp, _address: string): Promise<void> => {},
  ): Preparation =>
  async (app) => {
    const address = rpc === 'confirmEmail' ? unique.email() : unique.phone();
    await before(app, address);
    const fields = rpc === 'confirmEmail' ? { email: address } : { phoneNumber: address };
    const { challengeIds } = await person(app, fields);
    const code = await codeFor(app, address);
    const [challengeId] = challengeIds;
    return {
      call: (auth, options) => auth[rpc]({ challengeId, code }, options),
      wrong: (auth, options) => auth[rpc]({ challengeId, code: wrongCode(code) }, options),
    };
  };

/** An operator vouched for somebody else's having the address, which is less than a code. */
async function vouchedFor(app: TestApp, address: string): Promise<void> {
  const { accountId } = await person(app);
  const type = address.includes('@') ? 'email' : 'phone';
  await sql`
    insert into identifiers (account_id, type, value, state, sign_in_enabled, proven_by, verified_at, created_at)
    values (${accountId}, ${type}, ${address}, 'verified', true, 'operator', now(), now())`.execute(
    app.db,
  );
}

/** Again, by somebody who does not sign in by it: a proof does not undo what was done by hand. */
const confirmingDemoted =
  (rpc: 'confirmEmail' | 'confirmPhoneNumber'): Preparation =>
  async (app) => {
    const { accessToken, email, phoneNumber } = await proven(app);
    const access = { accessToken };
    const isEmail = rpc === 'confirmEmail';
    const type = isEmail ? IdentifierType.EMAIL : IdentifierType.PHONE;
    await app.auth.setSignInEnabled({ type, enabled: false }, access);
    if (isEmail) await app.auth.sendEmailVerificationCode({ email }, access);
    else await app.auth.sendPhoneVerificationCode({ phoneNumber }, access);
    const code = await codeFor(app, isEmail ? email : phoneNumber);
    return { accessToken, call: (auth, options) => auth[rpc]({ code }, options) };
  };

const phoneSignIn =
  (numberOf: (app: TestApp) => Promise<string>): Preparation =>
  async (app) => {
    const phoneNumber = await numberOf(app);
    const { challenge } = await app.auth.requestPhoneSignIn({ phoneNumber });
    const challengeId = challenge?.challengeId ?? '';
    const code = await codeFor(app, phoneNumber);
    return {
      call: (auth, options) => auth.completePhoneSignIn({ challengeId, code }, options),
      wrong: (auth, options) =>
        auth.completePhoneSignIn({ challengeId, code: wrongCode(code) }, options),
    };
  };

async function resetCode(app: TestApp) {
  const { email } = await proven(app);
  const { challenge } = await app.auth.requestPasswordReset({ identifier: email });
  return { challengeId: challenge?.challengeId ?? '', code: await codeFor(app, email) };
}

/** A text of the same shape that was never made. */
const forged = (token: string): string =>
  `${token.slice(0, -8)}${token.slice(-8).split('').reverse().join('')}x`;

/** Every RPC: one without a row here does not compile. */
export const goodCalls: Readonly<Record<AuthMethod, readonly Preparation[]>> = {
  signUp: [
    async () => ({
      call: (auth, options) =>
        auth.signUp(
          { username: unique.username(), password: PASSWORD, email: unique.email() },
          options,
        ),
    }),
    // A repetition proves itself by the password.
    async (app) => {
      const fields = { username: unique.username(), requestId: randomUUID() };
      await app.auth.signUp({ ...fields, password: PASSWORD });
      return {
        call: (auth, options) => auth.signUp({ ...fields, password: PASSWORD }, options),
        wrong: (auth, options) => auth.signUp({ ...fields, password: `${PASSWORD}!` }, options),
      };
    },
  ],
  signIn: [
    async (app) => {
      const { username: identifier } = await person(app);
      return {
        call: (auth, options) => auth.signIn({ identifier, password: PASSWORD }, options),
        wrong: (auth, options) => auth.signIn({ identifier, password: `${PASSWORD}!` }, options),
      };
    },
  ],
  requestPhoneSignIn: [
    async () => ({
      call: (auth, options) => auth.requestPhoneSignIn({ phoneNumber: unique.phone() }, options),
    }),
  ],
  completePhoneSignIn: [
    phoneSignIn(async (app) => (await proven(app)).phoneNumber),
    phoneSignIn(async () => unique.phone()),
    // Lapsed, and the only way in: proven again by the code that signs in.
    phoneSignIn(async (app) => {
      const phoneNumber = unique.phone();
      const first = await phoneSignIn(async () => phoneNumber)(app);
      await first.call(app.auth, {});
      await sql`update identifiers set state = 'lapsed' where value = ${phoneNumber}`.execute(
        app.db,
      );
      app.clock.advance({ seconds: 61 });
      return phoneNumber;
    }),
  ],
  refreshSession: [
    async (app) => {
      const { refreshToken } = await person(app);
      return {
        call: (auth, options) => auth.refreshSession({ refreshToken }, options),
        wrong: (auth, options) =>
          auth.refreshSession({ refreshToken: forged(refreshToken) }, options),
      };
    },
  ],
  signOut: [
    async (app) => {
      const { refreshToken } = await person(app);
      return {
        call: (auth, options) => auth.signOut({ refreshToken }, options),
        wrong: (auth, options) => auth.signOut({ refreshToken: forged(refreshToken) }, options),
      };
    },
  ],
  signOutEverywhere: [signedIn((auth, options) => auth.signOutEverywhere({}, options))],
  listSessions: [signedIn((auth, options) => auth.listSessions({}, options))],
  revokeSession: [
    async (app) => {
      const { accessToken, username: identifier } = await person(app);
      const { tokens } = await app.auth.signIn({ identifier, password: PASSWORD });
      const other = { accessToken: tokens?.accessToken ?? '' };
      const { sessions } = await app.auth.listSessions({}, other);
      const sessionId = sessions.find(({ current }) => current)?.sessionId ?? '';
      return { accessToken, call: (auth, options) => auth.revokeSession({ sessionId }, options) };
    },
  ],
  getAccount: [signedIn((auth, options) => auth.getAccount({}, options))],
  updateProfile: [
    signedIn((auth, options) => auth.updateProfile({ profile: { displayName: 'Ada' } }, options)),
  ],
  updateSettings: [
    signedIn((auth, options) => auth.updateSettings({ settings: { locale: 'vi' } }, options)),
  ],
  closeAccount: [signedIn((auth, options) => auth.closeAccount({}, options))],
  changePassword: [
    async (app) => {
      const { accessToken } = await person(app);
      const newPassword = `${PASSWORD} anew`;
      return {
        accessToken,
        call: (auth, options) =>
          auth.changePassword({ currentPassword: PASSWORD, newPassword }, options),
        wrong: (auth, options) =>
          auth.changePassword({ currentPassword: `${PASSWORD}!`, newPassword }, options),
      };
    },
  ],
  sendEmailVerificationCode: [
    signedIn((auth, options) => auth.sendEmailVerificationCode({ email: unique.email() }, options)),
  ],
  confirmEmail: [
    confirming('confirmEmail'),
    confirming('confirmEmail', vouchedFor),
    confirmingDemoted('confirmEmail'),
  ],
  sendPhoneVerificationCode: [
    signedIn((auth, options) =>
      auth.sendPhoneVerificationCode({ phoneNumber: unique.phone() }, options),
    ),
  ],
  confirmPhoneNumber: [
    confirming('confirmPhoneNumber'),
    confirming('confirmPhoneNumber', vouchedFor),
    confirmingDemoted('confirmPhoneNumber'),
  ],
  resendEmailConfirmation: [
    async () => ({
      call: (auth, options) => auth.resendEmailConfirmation({ email: unique.email() }, options),
    }),
    async (app) => {
      const email = unique.email();
      const { challengeIds } = await person(app, { email });
      await delivered(app);
      app.clock.advance({ seconds: 61 });
      const [challengeId] = challengeIds;
      return {
        call: (auth, options) => auth.resendEmailConfirmation({ email, challengeId }, options),
      };
    },
  ],
  setPhoneNumber: [
    signedIn((auth, options) => auth.setPhoneNumber({ phoneNumber: unique.phone() }, options)),
  ],
  removePhoneNumber: [signedIn((auth, options) => auth.removePhoneNumber({}, options))],
  removeEmail: [signedIn((auth, options) => auth.removeEmail({}, options))],
  setSignInEnabled: [
    signedIn((auth, options) =>
      auth.setSignInEnabled({ type: IdentifierType.EMAIL, enabled: false }, options),
    ),
    async (app) => {
      const { accessToken } = await proven(app);
      const type = IdentifierType.EMAIL;
      await app.auth.setSignInEnabled({ type, enabled: false }, { accessToken });
      return {
        accessToken,
        call: (auth, options) => auth.setSignInEnabled({ type, enabled: true }, options),
      };
    },
  ],
  requestPasswordReset: [
    async () => ({
      call: (auth, options) => auth.requestPasswordReset({ identifier: unique.email() }, options),
    }),
    async (app) => {
      const { email: identifier } = await proven(app);
      return { call: (auth, options) => auth.requestPasswordReset({ identifier }, options) };
    },
  ],
  verifyPasswordResetCode: [
    async (app) => {
      const { challengeId, code } = await resetCode(app);
      return {
        call: (auth, options) => auth.verifyPasswordResetCode({ challengeId, code }, options),
        wrong: (auth, options) =>
          auth.verifyPasswordResetCode({ challengeId, code: wrongCode(code) }, options),
      };
    },
  ],
  resetPassword: [
    async (app) => {
      const { resetToken } = await app.auth.verifyPasswordResetCode(await resetCode(app));
      const newPassword = `${PASSWORD} anew`;
      return {
        call: (auth, options) => auth.resetPassword({ resetToken, newPassword }, options),
        wrong: (auth, options) =>
          auth.resetPassword({ resetToken: forged(resetToken), newPassword }, options),
      };
    },
  ],
  introspectToken: [
    async (app) => {
      const { accessToken } = await person(app);
      return { call: (auth, options) => auth.introspectToken({ accessToken }, options) };
    },
  ],
  getJsonWebKeySet: [async () => ({ call: (auth, options) => auth.getJsonWebKeySet({}, options) })],
};
