import type { PersonCall } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { type Db, inTransaction, type Tx } from '../db/index.js';
import type { Outbox } from '../delivery/index.js';
import { accessTokenInvalid, type EndedSessions } from '../sessions/index.js';
import type { Account } from './account.js';
import { isAccount, readAccount } from './account-store.js';
import { type ClosedAccount, closeLocked, lockForClosing } from './close-account-store.js';
import { reauthenticationRequired } from './errors.js';
import { contactsIn, draftNotices, type Notices } from './notices.js';

export interface CloseAccountDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
  readonly outbox: Outbox;
  readonly ended: Pick<EndedSessions, 'revoke'>;
}

/**
 * Closes the signed-in person's account for good, and tells its channels. Its identifiers are deleted, so that
 * others can have them at once; its password is deleted; both epochs rise, so that every session and every code
 * is dead. Profile, settings, audit and role assignments stay: what was done in the account's name stays its,
 * nobody can act by a role any more, and an organization keeps the owner that it had until an operator
 * appoints another (rule 25 binds those who take roles away; a person may always leave).
 *
 * One PostgreSQL transaction of three statements: the account is locked first, so that what is read and deleted
 * is all that it has, also what was proven or claimed while the lock was waited for.
 *
 * Throws `ACCESS_TOKEN_INVALID` (the session has ended), `REAUTHENTICATION_REQUIRED` (the last
 * authentication is over ten minutes old).
 */
export async function closeAccount(deps: CloseAccountDeps, call: PersonCall): Promise<Account> {
  const { account, notices, closed } = await inTransaction(deps.db, (tx) => close(tx, deps, call));
  deps.ended.revoke(closed.revoked);
  if (closed.noticed) deps.outbox.dispatch(notices.messages);
  const { revision, updatedAt } = closed;
  return { ...account, status: 'closed', identifiers: [], revision, updatedAt };
}

async function close(
  tx: Tx,
  deps: CloseAccountDeps,
  call: PersonCall,
): Promise<{ account: Account; notices: Notices; closed: ClosedAccount }> {
  const { accountId } = call.person;
  const locked = await lockForClosing(tx, deps.clock, call.person);
  if (locked === undefined) throw accessTokenInvalid();
  if (!locked.authenticatedLately) throw reauthenticationRequired();
  const account = await readAccount(tx, deps.clock, () => isAccount(accountId));
  if (account === undefined) throw new Error('an account that is locked is gone');
  const notices = draftNotices(deps, call, contactsIn(account), {
    kind: 'account_closed',
    accountId,
    variables: {},
  });
  return { account, notices, closed: await closeLocked(tx, deps, call, notices) };
}
