import { codeFor, present } from '../accounts/house.js';
import { tokenFor } from '../recovery/recovering.js';
import { unique } from '../support/people.js';
import type { Laboratory } from './laboratory.js';

/** What the owner does meanwhile, always with the right code: nothing of it may refill a budget. */
export type Errand = (lab: Laboratory) => Promise<void>;

const signInByPhone: Errand = async ({ app, owner }) => {
  const { challenge } = await app.auth.requestPhoneSignIn({ phoneNumber: owner.phone });
  const code = await codeFor(app, owner.phone);
  await app.auth.completePhoneSignIn({ challengeId: present(challenge).challengeId, code });
};

const PASSWORD = 'what the owner thinks of next';

/** By what the owner types, with the code that came to another address of theirs, or to the same. */
const recoverBy =
  (typed: 'email' | 'phone', deliveredTo: 'email' | 'phone'): Errand =>
  async ({ app, owner }) => {
    const resetToken = await tokenFor(app, owner[deliveredTo], { identifier: owner[typed] });
    await app.auth.resetPassword({ resetToken, newPassword: PASSWORD });
  };

/** To a number at which nobody has guessed yet. */
const changePhone: Errand = async ({ app, owner }) => {
  const { tokens } = await app.auth.signIn({ identifier: owner.username, password: PASSWORD });
  const session = { accessToken: tokens?.accessToken };
  const phoneNumber = unique.phone();
  await app.auth.sendPhoneVerificationCode({ phoneNumber }, session);
  await app.auth.confirmPhoneNumber({ code: await codeFor(app, phoneNumber) }, session);
  owner.phone = phoneNumber;
};

/** One after the other, each when the attacker has used up what there was. */
export const errands = (delivery: 'typed' | 'registered'): readonly Errand[] => [
  signInByPhone,
  recoverBy('email', delivery === 'typed' ? 'email' : 'phone'),
  changePhone,
  signInByPhone,
  recoverBy('phone', 'phone'),
];
