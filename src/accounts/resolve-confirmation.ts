import { sql } from 'kysely';
import {
  budgetsOfSend,
  type CodeMakingDeps,
  flowSubject,
  issueCode,
  liveFlow,
} from '../challenges/index.js';
import type { Clock } from '../core/clock.js';
import type { Locale } from '../core/contact.js';
import { clockCte, type Db, statementNow, untilAborted } from '../db/index.js';
import type { DeliveryRequest, OutgoingMessage } from '../delivery/index.js';
import { dueNote } from './notes.js';

export interface ResolveConfirmationDeps extends CodeMakingDeps {
  readonly db: Db;
  readonly clock: Clock;
}

/**
 * What is due to somebody who asked, without a session, for the code of an email's confirmation (V8).
 *
 * A code, where the flow is the slot of an active account that still claims this very address, or has it
 * lapsed: the request found that slot by the claim's handle. Otherwise at most a note, where some account
 * has named the address.
 *
 * One PostgreSQL trip, and another where something is due.
 */
export async function resolveConfirmation(
  deps: ResolveConfirmationDeps,
  request: DeliveryRequest,
  signal: AbortSignal,
): Promise<OutgoingMessage | undefined> {
  const email = request.typed.value;
  const found = await readConfirmation(deps, request, signal);
  if (found === undefined) return undefined;
  const locale = found.locale ?? request.locale;
  if (found.claimant !== null) {
    return issueCode(deps, request, 'verify', {
      accountId: found.claimant,
      proofEpoch: found.proof_epoch,
      channel: 'email',
      destination: email,
      locale,
      longCode: found.long_code,
      flowHash: found.code_hash,
    });
  }
  if (found.namer === null) return undefined;
  const note = { accountId: found.namer, channel: 'email', to: email, locale } as const;
  return dueNote(deps, request, { kind: 'confirmation_requested', ...note });
}

interface ConfirmationRow {
  /** Whose claim the code would prove; null: no code is due. */
  claimant: string | null;
  proof_epoch: number;
  code_hash: Buffer;
  long_code: boolean;
  /** Who holds the address, else who claimed it first; null: nobody. */
  namer: string | null;
  locale: Locale | null;
}

/**
 * Undefined: the flow was used or has expired. The slot must be of the account's present epoch: a handle
 * dies with the codes that it goes with, or a thief's claim would outlive the owner's new password. And
 * it must still be this address's: the account may have changed its claim since the request.
 */
async function readConfirmation(
  deps: ResolveConfirmationDeps,
  request: DeliveryRequest,
  signal: AbortSignal,
): Promise<ConfirmationRow | undefined> {
  const email = request.typed.value;
  const address = flowSubject(deps.budgetSecret, request.typed);
  const { rows } = await sql<ConfirmationRow>`
    with ${clockCte(deps.clock)},
    flow as materialized (${liveFlow(deps.clock, 'verify', request)}),
    claimant as materialized (
      select a.account_id, a.proof_epoch from flow f
      join accounts a on a.account_id = f.account_id and a.proof_epoch = f.proof_epoch
      join identifiers i on i.account_id = a.account_id and i.type = 'email' and i.value = ${email}::text
      where f.address_subject = ${address}::bytea and a.status = 'active' and i.state in ('claimed', 'lapsed')
    ),
    namer as materialized (${firstNamer(email)}),
    budgets as materialized (${budgetsOfSend(statementNow, 'email', {
      account: sql`(select uuid_send(account_id) from claimant)`,
      address,
    })})
    select c.account_id as claimant, c.proof_epoch, f.code_hash, b.needs_long_code as long_code,
      n.account_id as namer, l.locale
    from flow f cross join budgets b left join claimant c on true left join namer n on true
    left join account_settings l on l.account_id = coalesce(c.account_id, n.account_id)`.execute(
    untilAborted(signal, deps.db),
  );
  return rows[0];
}

/** States of which each has an index by address: a condition on all of them at once would read the table. */
const NAMED = [
  sql`state in ('verified', 'lapsed')`,
  sql`state = 'disputed'`,
  sql`state = 'contact'`,
  sql`state = 'claimed'`,
];

/** CTE body: always the same account while nothing changes, so that a note is one within the hour. */
function firstNamer(email: string) {
  const looks = NAMED.map(
    (state, rank) => sql`select account_id, ${sql.lit(rank)} as rank, created_at from identifiers
      where type = 'email' and value = ${email}::text and ${state}`,
  );
  return sql`select account_id from (${sql.join(looks, sql` union all `)}) named
    order by rank, created_at, account_id limit 1`;
}
