import { sql } from 'kysely';
import { changeBy, insertChange } from '../audit/index.js';
import type { Person, PersonCall } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { clockCte, sqlNow, statementNow, type Tx } from '../db/index.js';
import { type RevokedAccountRow, recordRaisedEpoch, revokedAccount } from '../sessions/index.js';
import { authenticatedLately, isAccount, liveSession } from './account-store.js';
import { areNoticed, insertNotices, type Notices } from './notices.js';

/** Locks the account of a live session. Undefined: the session has ended. */
export async function lockForClosing(
  tx: Tx,
  clock: Clock,
  person: Person,
): Promise<{ readonly authenticatedLately: boolean } | undefined> {
  const now = statementNow;
  const { rows } = await sql<{ lately: boolean }>`
    with ${clockCte(clock)}
    select ${authenticatedLately(now, person)} as lately
    from accounts a where ${liveSession(now, person)} for no key update of a`.execute(tx);
  return rows[0] && { authenticatedLately: rows[0].lately };
}

export interface ClosedAccount {
  readonly revision: number;
  readonly updatedAt: Date;
  readonly noticed: boolean;
  readonly revoked: RevokedAccountRow;
}

interface ClosedRow extends RevokedAccountRow {
  readonly revision: number;
  readonly updated_at: Date;
  readonly noticed: boolean;
}

/** Closes the account, which this transaction has locked. */
export async function closeLocked(
  tx: Tx,
  deps: { readonly clock: Clock; readonly random: Random },
  call: PersonCall,
  notices: Notices,
): Promise<ClosedAccount> {
  const now = statementNow;
  const { accountId } = call.person;
  const event = changeBy(deps.random, call, 'account_closed');
  const { rows } = await sql<ClosedRow>`
    with ${clockCte(deps.clock)},
    closed as (
      update accounts a set status = 'closed', password_hash = null, password_pepper = null,
        proof_epoch = a.proof_epoch + 1, session_epoch = a.session_epoch + 1,
        revision = a.revision + 1, updated_at = ${now}
      where ${isAccount(accountId)}
      returning a.account_id, a.session_epoch, a.revision, a.updated_at, ${sqlNow(deps.clock)} as raised_at
    ),
    freed as (delete from identifiers i using closed where i.account_id = closed.account_id),
    recorded as (${recordRaisedEpoch(sql`r.raised_at`, sql`closed`)}),
    ${insertNotices(now, notices, sql`closed`)}
    audited as (${insertChange(now, event, { accountId: sql`closed.account_id`, from: sql`closed` })})
    select ${revokedAccount}, e.revision, e.updated_at,
      ${areNoticed(notices)} as noticed
    from closed e`.execute(tx);
  const [row] = rows;
  if (row === undefined) throw new Error('an account that is locked is gone');
  const { revision, updated_at: updatedAt, noticed, ...revoked } = row;
  return { revision, updatedAt, noticed, revoked };
}
