import type { PersonCall } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { type Db, uniqueViolation } from '../db/index.js';
import type { Outbox } from '../delivery/index.js';
import { accessTokenInvalid } from '../sessions/index.js';
import type { Account } from './account.js';
import { identifierTaken, lastSignInMethod, reauthenticationRequired } from './errors.js';
import { getAccount } from './get-account.js';
import type { Identifier } from './identifier.js';
import {
  type ChangeOutcome,
  changeIdentifiers,
  type IdentifierChange,
} from './identifier-change-store.js';
import { contactsIn, draftNotices, type Notice, type Notices } from './notices.js';

export interface ChangeIdentifiersDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
  readonly outbox: Outbox;
}

/** A change of an account that was read. */
export interface PlannedChange {
  readonly change: IdentifierChange;
  /** The account's identifiers once it is made. */
  readonly identifiers: readonly Identifier[];
  /** To every contact that the account has before. Undefined: nothing that anybody relied on changes. */
  readonly notice: Notice | undefined;
}

/**
 * Changes the ways into the signed-in person's account: the frame of all RPCs that do so without a proof.
 * `plan` says what is to be done about the account as it is; undefined: nothing, and it is the answer.
 *
 * Two PostgreSQL trips, one where nothing is to be done: notices are sealed here, and need the contacts.
 * The second makes the change only if the account's revision is still that of the first; else both are made
 * again, which means that another call has changed the account meanwhile. The answer takes no trip.
 *
 * Atomic in the second: identifiers, the end of a code that waits, revision, notices, audit.
 *
 * Throws `ACCESS_TOKEN_INVALID` (the session has ended), `REAUTHENTICATION_REQUIRED`, `IDENTIFIER_TAKEN`,
 * `LAST_SIGN_IN_METHOD`, and whatever `plan` throws.
 */
export async function carryOut(
  deps: ChangeIdentifiersDeps,
  call: PersonCall,
  plan: (account: Account) => PlannedChange | undefined,
): Promise<Account> {
  for (;;) {
    const account = await getAccount(deps, call);
    const planned = plan(account);
    if (planned === undefined) return account;
    const { notice } = planned;
    const notices = notice && draftNotices(deps, call, contactsIn(account), notice);
    const outcome = await attempt(deps, call, account, planned.change, notices);
    if (outcome === undefined) throw accessTokenInvalid();
    if (!outcome.current) continue;
    if (!outcome.authenticatedLately) throw reauthenticationRequired();
    if (outcome.taken) throw identifierTaken();
    const { updatedAt } = outcome;
    if (updatedAt === undefined) throw lastSignInMethod();
    if (outcome.noticed && notices !== undefined) deps.outbox.dispatch(notices.messages);
    const { identifiers } = planned;
    return { ...account, identifiers, updatedAt, revision: account.revision + 1 };
  }
}

const SEEN_TOO_LATE: ChangeOutcome = {
  current: false,
  authenticatedLately: false,
  taken: false,
  updatedAt: undefined,
  noticed: false,
};

/** A claim or a holder that came while the statement waited for the account: it is seen at the next reading. */
async function attempt(
  deps: ChangeIdentifiersDeps,
  call: PersonCall,
  account: Account,
  change: IdentifierChange,
  notices: Notices | undefined,
): Promise<ChangeOutcome | undefined> {
  try {
    return await changeIdentifiers(deps, call, account, change, notices);
  } catch (error) {
    const ranInto = uniqueViolation(error);
    if (ranInto === 'identifiers_claimed_once' || ranInto === 'identifiers_holder')
      return SEEN_TOO_LATE;
    throw error;
  }
}
