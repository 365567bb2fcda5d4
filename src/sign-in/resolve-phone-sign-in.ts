import { sql } from 'kysely';
import { accountOfPhone, dueNote, phoneSignsIn } from '../accounts/index.js';
import {
  budgetsOfSend,
  type CodeMakingDeps,
  flowSubject,
  issueCode,
  liveFlow,
  standInSubject,
} from '../challenges/index.js';
import type { Clock } from '../core/clock.js';
import type { Locale } from '../core/contact.js';
import { clockCte, type Db, statementNow, untilAborted } from '../db/index.js';
import type { DeliveryRequest, OutgoingMessage } from '../delivery/index.js';
import type { PhoneSignInMode } from './phone-sign-in-mode.js';

export interface ResolvePhoneSignInDeps extends CodeMakingDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly phoneSignIn: PhoneSignInMode;
}

/**
 * What is due to a number that asked to sign in, by what it is at the moment of sending
 * (docs/architecture.md, "Phone sign-in"): a code, where it signs in to its account, or nobody's where a new
 * account may come of it; at most a note an hour, where it is somebody's and does not sign in.
 *
 * One PostgreSQL trip, and another where something is due; none where phone sign-in is off.
 */
export async function resolvePhoneSignIn(
  deps: ResolvePhoneSignInDeps,
  request: DeliveryRequest,
  signal: AbortSignal,
): Promise<OutgoingMessage | undefined> {
  if (deps.phoneSignIn === 'off') return undefined;
  const found = await readStanding(deps, request, signal);
  if (found === undefined) return undefined;
  const to = { channel: 'sms', locale: found.locale ?? request.locale } as const;
  const { value: phone } = request.typed;
  if (found.account_id !== null && !found.signs_in) {
    const note = {
      ...to,
      kind: 'sign_in_refused',
      accountId: found.account_id,
      to: phone,
    } as const;
    return dueNote(deps, request, note);
  }
  if (found.account_id === null && deps.phoneSignIn === 'existing') return undefined;
  return issueCode(deps, request, 'sign_in', {
    ...to,
    accountId: found.account_id ?? undefined,
    proofEpoch: found.proof_epoch ?? 0,
    destination: phone,
    longCode: found.long_code,
    flowHash: found.code_hash,
  });
}

interface StandingRow {
  /** Null: the number is nobody's, whoever claims it. */
  account_id: string | null;
  proof_epoch: number | null;
  signs_in: boolean;
  locale: Locale | null;
  long_code: boolean;
  code_hash: Buffer;
}

/** Undefined: the flow was used or has expired. */
async function readStanding(
  deps: ResolvePhoneSignInDeps,
  request: DeliveryRequest,
  signal: AbortSignal,
): Promise<StandingRow | undefined> {
  const { value: phone } = request.typed;
  const address = flowSubject(deps.budgetSecret, request.typed);
  const { rows } = await sql<StandingRow>`
    with ${clockCte(deps.clock)},
    flow as materialized (${liveFlow(deps.clock, 'sign_in', request)}),
    named as materialized (${accountOfPhone(phone)}),
    account as materialized (
      select a.account_id, a.proof_epoch, a.status, a.password_hash is not null as has_password, l.locale
      from named n join accounts a on a.account_id = n.account_id
      join account_settings l on l.account_id = a.account_id
    ),
    own as materialized (
      select i.* from account a join identifiers i on i.account_id = a.account_id
    ),
    budgets as materialized (${budgetsOfSend(statementNow, 'sms', {
      // Where nobody stands behind the flow, guesses will be charged to what stands in for an account.
      account: sql`coalesce((select uuid_send(account_id) from account), ${standInSubject(sql`${address}::bytea`)})`,
      address,
    })})
    select a.account_id, a.proof_epoch, a.locale, f.code_hash, b.needs_long_code as long_code,
      coalesce(${phoneSignsIn(sql`own`)}, false) as signs_in
    from flow f cross join budgets b left join account a on true
    left join own i on i.type = 'phone' and i.value = ${phone}::text`.execute(
    untilAborted(signal, deps.db),
  );
  return rows[0];
}
