import type { PersonCall } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import { type Db, untilAborted } from '../db/index.js';
import { accessTokenInvalid } from '../sessions/index.js';
import type { Account } from './account.js';
import { liveSession, readAccount } from './account-store.js';

export interface GetAccountDeps {
  readonly db: Db;
  readonly clock: Clock;
}

/**
 * The signed-in person's account. One PostgreSQL trip. Throws `ACCESS_TOKEN_INVALID` where the
 * session has ended since the token was issued.
 */
export async function getAccount(deps: GetAccountDeps, call: PersonCall): Promise<Account> {
  const account = await readAccount(untilAborted(call.signal, deps.db), deps.clock, (now) =>
    liveSession(now, call.person),
  );
  if (account === undefined) throw accessTokenInvalid();
  return account;
}
