import { draftNotices, type Notices } from '../accounts/index.js';
import {
  type CodeMakingDeps,
  codeExpired,
  openDestination,
  typedSubject,
} from '../challenges/index.js';
import type { Call } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import { type Db, inTransaction, type Tx } from '../db/index.js';
import type { Outbox } from '../delivery/index.js';
import { type PasswordHasher, type PasswordPolicy, parseNewPassword } from '../passwords/index.js';
import type { EndedSessions } from '../sessions/index.js';
import { type DoneReset, lockForReset, type Reset, readReset, runReset } from './reset-store.js';
import { type PresentedResetToken, readResetToken } from './reset-token.js';

export interface ResetPasswordDeps extends CodeMakingDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly outbox: Outbox;
  readonly ended: Pick<EndedSessions, 'revoke'>;
  readonly hasher: PasswordHasher;
  readonly passwordPolicy: PasswordPolicy;
}

export interface ResetPasswordInput {
  /** As shown, whatever it is. */
  readonly resetToken: string;
  /** As `parseNewPassword` gives it, before the person's own identifiers were known. */
  readonly newPassword: string;
}

/**
 * Sets a new password by the token of a verified code: the first one, for an account born by phone.
 *
 * One PostgreSQL trip and one transaction of three statements; the trip alone for a token that is not good, none
 * for what never was one. The trip reads whose
 * identifiers the password must not repeat: the policy is asked before anything is hashed, and a refused
 * password uses no token up (rule 14). Never a transaction around the hash. A token has 256 random bits, so
 * that nobody finds one by trying and there is nothing to hide: a bad one costs no decoy's hash.
 *
 * Atomic in the transaction: the token is used up, the password is set, both epochs rise (every session, live code
 * and token is dead at once), claims fall, every other channel that was proven lately or by an operator's
 * word lapses, one way in is left, the account's locks are lifted, and every channel that was verified before
 * is told. Gives no session. Access tokens are inactive at this process at once, at the others within two
 * seconds. Lifted with the account's locks are those of the identifiers that it alone has: of
 * an address that it merely claims, the lock protects somebody else.
 *
 * Throws `PASSWORD_TOO_COMMON`, `CODE_EXPIRED` (the token is unknown, used, too old or another caller's; or its
 * account, or the address that its code went to, is not what it was), `OVERLOADED`.
 */
export async function resetPassword(
  deps: ResetPasswordDeps,
  call: Call,
  input: ResetPasswordInput,
): Promise<{ readonly accountId: string }> {
  const token = readResetToken(input.resetToken);
  const pending = token && (await readReset(deps, call, token));
  if (token === undefined || pending === undefined) throw codeExpired();
  const { accountId, identifiers, deliveredBy } = pending;
  const personal = [...identifiers.map(({ value }) => value), pending.displayName];
  parseNewPassword('new_password', input.newPassword, deps.passwordPolicy, personal);
  const password = await deps.hasher.hash(input.newPassword, call);
  const reset = {
    accountId,
    deliveredBy,
    destination: openDestination(deps.dataKeys, accountId, deliveredBy, pending.destinationSealed),
    password,
    typedSubjects: identifiers
      .filter(({ state }) => state === 'verified')
      .map((identifier) => typedSubject(deps.budgetSecret, identifier)),
  };
  const done = await inTransaction(deps.db, (tx) => carryOut(tx, deps, call, token, reset));
  if (done === undefined) throw codeExpired();
  deps.ended.revoke(done.revoked);
  if (done.noticed) deps.outbox.dispatch(done.notices.messages);
  return { accountId };
}

async function carryOut(
  tx: Tx,
  deps: ResetPasswordDeps,
  call: Call,
  token: PresentedResetToken,
  reset: Omit<Reset, 'notices'>,
): Promise<(DoneReset & { readonly notices: Notices }) | undefined> {
  const { accountId } = reset;
  const contacts = await lockForReset(tx, accountId);
  if (contacts === undefined) return undefined;
  const notices = draftNotices(deps, call, contacts, {
    kind: 'password_reset',
    accountId,
    variables: {},
  });
  const done = await runReset(tx, deps, call, token, { ...reset, notices });
  return done && { ...done, notices };
}
