import { draftNotices, isSignedIn } from '../accounts/index.js';
import type { BudgetPolicy } from '../challenges/index.js';
import type { PersonCall } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { type Db, untilAborted } from '../db/index.js';
import type { Outbox } from '../delivery/index.js';
import {
  isOverloaded,
  type PasswordHash,
  type PasswordHasher,
  type PasswordPolicy,
  parseNewPassword,
} from '../passwords/index.js';
import { accessTokenInvalid, type EndedSessions } from '../sessions/index.js';
import {
  type CurrentPasswordGuess,
  chargeCurrentPassword,
  refundCurrentPassword,
  replacePassword,
} from './change-password-store.js';
import { credentialsInvalid, signInLocked } from './errors.js';

export interface ChangePasswordDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
  readonly hasher: PasswordHasher;
  readonly outbox: Outbox;
  readonly passwordBudget: BudgetPolicy;
  readonly passwordPolicy: PasswordPolicy;
  readonly ended: Pick<EndedSessions, 'revoke'>;
}

export interface ChangePasswordInput {
  /** As `parsePresentedPassword` gives it. */
  readonly currentPassword: string;
  /** As `parseNewPassword` gives it; of what the person is called it is judged here. */
  readonly newPassword: string;
}

/**
 * Replaces the password of the signed-in person, who proves the present one (A5): that is what it asks for
 * in place of a recent authentication.
 *
 * Two PostgreSQL trips, one where the present password is wrong, and two hashes, in no transaction: the guess is
 * charged in the session lane and committed, the present password is verified (a decoy where the account has
 * none), the new one is hashed, and both epochs rise. A guess that was compared with nothing is taken back by one
 * more trip: the lane was full, or the new password names its owner.
 *
 * Atomic in the second trip: the hash, the end of every code and of every session but this one, which keeps its
 * tokens, the cleared counts of wrong passwords, the notices. Of two changes at once with one present password
 * one is made.
 *
 * Throws `ACCESS_TOKEN_INVALID` (the session has ended), `SIGN_IN_LOCKED`, `PASSWORD_TOO_COMMON`,
 * `CREDENTIALS_INVALID`, `OVERLOADED`.
 */
export async function changePassword(
  deps: ChangePasswordDeps,
  call: PersonCall,
  input: ChangePasswordInput,
): Promise<void> {
  const { accountId } = call.person;
  const guess = await chargeCurrentPassword(deps, call.person);
  if (guess === undefined) throw accessTokenInvalid();
  if (guess.lockedSeconds !== undefined) throw signInLocked(guess.lockedSeconds);
  await judgeByOwner(deps, call, input, guess);
  const password = await exchange(deps, call, input, guess);
  const notices = draftNotices(deps, call, guess.contacts, {
    kind: 'password_changed',
    accountId,
    variables: {},
  });
  const { proofEpoch } = guess;
  // Completed although the caller may have left: the budgets must be cleared for the right password.
  const replaced = await replacePassword(deps, call, { password, proofEpoch, notices });
  if (replaced === undefined) throw await overtaken(deps, call);
  deps.ended.revoke(replaced.revoked);
  if (replaced.noticed) deps.outbox.dispatch(notices.messages);
}

/** Rule 14, as far as it asks who it is for. */
async function judgeByOwner(
  deps: ChangePasswordDeps,
  call: PersonCall,
  { newPassword }: ChangePasswordInput,
  { personal }: CurrentPasswordGuess,
): Promise<void> {
  try {
    parseNewPassword('new_password', newPassword, deps.passwordPolicy, personal);
  } catch (error) {
    await refundCurrentPassword(deps, call.person);
    throw error;
  }
}

/** The new password's hash for the present password. */
async function exchange(
  deps: ChangePasswordDeps,
  call: PersonCall,
  { currentPassword, newPassword }: ChangePasswordInput,
  { password }: CurrentPasswordGuess,
): Promise<PasswordHash> {
  try {
    const { matches } = await deps.hasher.verify(password, currentPassword, call);
    if (!matches) throw credentialsInvalid();
    return await deps.hasher.hash(newPassword, call);
  } catch (error) {
    // Before the first hash nothing was compared; before the second it was the right password.
    if (isOverloaded(error)) await refundCurrentPassword(deps, call.person);
    throw error;
  }
}

/** Another call has ended the session, or changed the password, since the guess was charged. */
async function overtaken(deps: ChangePasswordDeps, { person, signal }: PersonCall) {
  const signedIn = await isSignedIn(untilAborted(signal, deps.db), deps.clock, person);
  return signedIn ? credentialsInvalid() : accessTokenInvalid();
}
