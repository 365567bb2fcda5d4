import type { PersonCall } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import type { Db } from '../db/index.js';
import { accessTokenInvalid } from '../sessions/index.js';
import type { Account } from './account.js';
import { type AccountUpdate, updateAccount } from './account-update-store.js';
import { etagStale } from './errors.js';
import { getAccount } from './get-account.js';

export interface UpdateAccountDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
}

/** An update of an account that was read. */
export interface PlannedUpdate {
  readonly update: AccountUpdate;
  /** The account once it is made. */
  readonly account: Account;
}

/**
 * Updates what the signed-in person tells of themselves: the frame of all RPCs that do so. `plan` says what is
 * to be written about the account as it is; undefined: nothing, and it is the answer, unchanged.
 *
 * Two PostgreSQL trips, one where nothing is to be written. The second writes only if the account's revision
 * is still that of the first: of two updates with one etag one is made. Without an etag both are made again,
 * which means that another call has changed the account meanwhile. Atomic in the second: values, revision,
 * change event.
 *
 * Throws `ACCESS_TOKEN_INVALID` (the session has ended), `ETAG_STALE`, and whatever `plan` throws.
 */
export async function carryOutUpdate(
  deps: UpdateAccountDeps,
  call: PersonCall,
  revision: number | undefined,
  plan: (account: Account) => PlannedUpdate | undefined,
): Promise<Account> {
  for (;;) {
    const account = await getAccount(deps, call);
    if (revision !== undefined && revision !== account.revision) throw etagStale();
    const planned = plan(account);
    if (planned === undefined) return account;
    const done = await updateAccount(deps, call, account, planned.update);
    if (done === undefined) throw accessTokenInvalid();
    const { updatedAt } = done;
    if (updatedAt === undefined) continue;
    return { ...planned.account, updatedAt, revision: account.revision + 1 };
  }
}
