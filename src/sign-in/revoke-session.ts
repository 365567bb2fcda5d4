import { sql } from 'kysely';
import { liveSession } from '../accounts/index.js';
import { changeBy, insertChange } from '../audit/index.js';
import type { PersonCall } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { clockCte, type Db, statementNow } from '../db/index.js';
import { accessTokenInvalid, type EndedSessions, endSessions } from '../sessions/index.js';

export interface RevokeSessionDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
  readonly ended: Pick<EndedSessions, 'add'>;
}

export interface RevokeSessionInput {
  readonly sessionId: string;
}

/**
 * Ends one session of the signed-in person's account, this one too, together with its change event. One
 * that has ended, another account's and one that never was answer the same and change nothing. One
 * PostgreSQL trip.
 *
 * Its refresh token is dead at once, its access tokens are inactive at this process at once, at the others
 * within two seconds. Throws `ACCESS_TOKEN_INVALID` (the session that asks has ended).
 */
export async function revokeSession(
  deps: RevokeSessionDeps,
  call: PersonCall,
  { sessionId }: RevokeSessionInput,
): Promise<void> {
  const event = {
    ...changeBy(deps.random, call, 'session_ended', { sessionId }),
    outcome: 'revoked',
  };
  const own = sql`s.session_id = ${sessionId}::uuid and exists (
    select from person p where p.account_id = s.account_id and p.session_epoch = s.session_epoch)`;
  const { rows } = await sql<{ ended: boolean }>`
    with ${clockCte(deps.clock)},
    person as materialized (
      select a.account_id, a.session_epoch from accounts a where ${liveSession(statementNow, call.person)}
    ),
    ended as (${endSessions(statementNow, 'revoked', own)}),
    recorded as (${insertChange(statementNow, event, { accountId: sql`ended.account_id`, from: sql`ended` })})
    select exists (select from ended) as ended from person`.execute(deps.db);
  const [row] = rows;
  if (row === undefined) throw accessTokenInvalid();
  // Never what the request names: introspection would take anybody's session for ended.
  if (row.ended) deps.ended.add(sessionId);
}
