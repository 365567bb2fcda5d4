import { sql } from 'kysely';
import { liveSession } from '../accounts/index.js';
import { changeBy, insertChange } from '../audit/index.js';
import type { PersonCall } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { clockCte, type Db, sqlNow, statementNow } from '../db/index.js';
import {
  accessTokenInvalid,
  type EndedSessions,
  type RevokedAccountRow,
  recordRaisedEpoch,
  revokedAccount,
} from '../sessions/index.js';

export interface SignOutEverywhereDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
  readonly ended: Pick<EndedSessions, 'revoke'>;
}

/**
 * Ends every session of the signed-in person's account, this one too, by raising its session epoch: a
 * sign-in at the same time is wholly before or wholly after it. Codes that wait live on. One PostgreSQL
 * trip, in which epoch and change event are atomic.
 *
 * Refresh tokens are dead at once, access tokens are inactive at this process at once, at the others within
 * two seconds. Throws `ACCESS_TOKEN_INVALID` (the session has ended).
 */
export async function signOutEverywhere(
  deps: SignOutEverywhereDeps,
  call: PersonCall,
): Promise<void> {
  const event = changeBy(deps.random, call, 'sessions_revoked');
  const { rows } = await sql<RevokedAccountRow>`
    with ${clockCte(deps.clock)},
    raised as (
      update accounts a set session_epoch = a.session_epoch + 1
      where ${liveSession(statementNow, call.person)}
      returning a.account_id, a.session_epoch, ${sqlNow(deps.clock)} as raised_at
    ),
    recorded as (${recordRaisedEpoch(sql`r.raised_at`, sql`raised`)}),
    audited as (${insertChange(statementNow, event, { accountId: sql`raised.account_id`, from: sql`raised` })})
    select ${revokedAccount} from raised e`.execute(deps.db);
  const [revoked] = rows;
  if (revoked === undefined) throw accessTokenInvalid();
  deps.ended.revoke(revoked);
}
