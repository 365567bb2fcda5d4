import { type RawBuilder, sql } from 'kysely';
import { type AccountStatus, channelOfType, dueNote, typeOfChannel } from '../accounts/index.js';
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
import { chosenCharges, type Throttle } from '../throttling/index.js';
import type { RecoveryPolicy } from './reset-request.js';

export interface ResolveResetDeps extends CodeMakingDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly recovery: RecoveryPolicy;
  readonly throttle: Pick<Throttle, 'tryConsume'>;
}

/**
 * What is due to somebody who asked for a password reset, decided anew at every attempt to send (R3, R4): a
 * code for an active account, with or without a password, locked or not; a note for one that is blocked or
 * deactivated, at most one an hour; nothing where no account is found or none of its channels will do.
 *
 * One PostgreSQL trip, and another where something is due. Of registered delivery, which the request could not
 * charge for, the caps on messages are charged here, in one trip to Redis; where one is exhausted nothing is due.
 */
export async function resolveReset(
  deps: ResolveResetDeps,
  request: DeliveryRequest,
  signal: AbortSignal,
): Promise<OutgoingMessage | undefined> {
  const found = await findRecoverable(deps, request, signal);
  if (found === undefined || !(await isWithinCaps(deps, request, found))) return undefined;
  const to = {
    accountId: found.account_id,
    channel: channelOfType(found.type),
    locale: found.locale ?? request.locale,
  };
  if (found.status !== 'active') {
    return dueNote(deps, request, { ...to, kind: 'reset_refused', to: found.value });
  }
  return issueCode(deps, request, 'reset', {
    ...to,
    proofEpoch: found.proof_epoch,
    destination: found.value,
    longCode: found.long_code,
    flowHash: found.code_hash,
  });
}

async function isWithinCaps(
  { recovery, throttle }: ResolveResetDeps,
  { typed }: DeliveryRequest,
  { type, value }: RecoverableRow,
): Promise<boolean> {
  if (recovery.delivery === 'typed') return true;
  const { admitted } = await throttle.tryConsume(chosenCharges(channelOfType(type), value, typed));
  return admitted;
}

interface RecoverableRow {
  account_id: string;
  status: Exclude<AccountStatus, 'closed'>;
  proof_epoch: number;
  /** Where the message goes. */
  type: 'email' | 'phone';
  value: string;
  locale: Locale | null;
  code_hash: Buffer;
  long_code: boolean;
}

/**
 * Undefined: the flow was used or has expired, what was typed leads to no account, or the account has no
 * channel that would do. A contact recovers its own account, where no other holds the address that was typed
 * and no second one has it as a contact.
 */
async function findRecoverable(
  deps: ResolveResetDeps,
  request: DeliveryRequest,
  signal: AbortSignal,
): Promise<RecoverableRow | undefined> {
  const { typed, channel } = request;
  const { rows } = await sql<RecoverableRow>`
    with ${clockCte(deps.clock)},
    flow as materialized (${liveFlow(deps.clock, 'reset', request)}),
    known as materialized (${whoHas(typed)}),
    owner as materialized (
      select a.account_id, a.status, a.proof_epoch
      from known k join accounts a on a.account_id = k.account_id
      where (k.state = 'verified' or (k.state = 'contact' and (select count(*) from known) = 1))
        and a.status <> 'closed'
    ),
    budgets as materialized (${budgetsOfSend(statementNow, channel, {
      account: sql`(select uuid_send(account_id) from owner)`,
      address: flowSubject(deps.budgetSecret, typed),
    })})
    select o.account_id, o.status, o.proof_epoch, w.type, w.value, l.locale, f.code_hash,
      b.needs_long_code as long_code
    from flow f cross join owner o cross join budgets b
    join lateral (${deliverable(deps.recovery, typed)}) w on true
    join account_settings l on l.account_id = o.account_id`.execute(untilAborted(signal, deps.db));
  return rows[0];
}

/** CTE body: which accounts have what was typed, and how. One look for each index by value. */
function whoHas({ type, value }: DeliveryRequest['typed']): RawBuilder<unknown> {
  const look = (states: RawBuilder<unknown>) => sql`(select i.account_id, i.state from identifiers i
    where i.type = ${type}::text and i.value = ${value}::text and ${states} limit 2)`;
  return sql`${look(sql`i.state in ('verified', 'lapsed')`)}
    union all ${look(sql`i.state = 'disputed'`)} union all ${look(sql`i.state = 'contact'`)}`;
}

/** The account `o`'s channel that the message goes by: at most one row. */
function deliverable(
  { delivery, channels }: RecoveryPolicy,
  typed: DeliveryRequest['typed'],
): RawBuilder<unknown> {
  const proven = sql`select i.type, i.value from identifiers i
    where i.account_id = o.account_id and i.state in ('verified', 'contact')`;
  if (delivery === 'typed') {
    return sql`${proven} and i.type = ${typed.type}::text and i.value = ${typed.value}::text`;
  }
  const order = sql`${channels.map(typeOfChannel)}::text[]`;
  return sql`${proven} and i.type = any(${order}) order by array_position(${order}, i.type) limit 1`;
}
