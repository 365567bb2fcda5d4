import { type RawBuilder, sql } from 'kysely';
import { changeBy, insertChange } from '../audit/index.js';
import type { Clock } from '../core/clock.js';
import type { Channel, Locale } from '../core/contact.js';
import { clockCte, type Db, sqlNow, statementNow } from '../db/index.js';
import type { DeliveryRequest, OutgoingMessage } from '../delivery/index.js';
import { type ChallengePurpose, drawCode, LONG_CODE_LENGTH } from './code.js';
import { type CodeMakingDeps, minutesOf, sealDestination } from './prepare-code.js';

/** Whom a resolved request turned out to concern, as its first trip read it. */
export interface CodeRecipient {
  /** Undefined: a number that nobody has, and that may become an account. */
  readonly accountId: string | undefined;
  readonly proofEpoch: number;
  readonly channel: Channel;
  readonly destination: string;
  /** The account's, else the request's. */
  readonly locale: Locale;
  /** A budget is shut: an ordinary code might not be judged. */
  readonly longCode: boolean;
  /** The flow's `code_hash` as it was read: one that goes on meanwhile has another. */
  readonly flowHash: Buffer;
}

/**
 * CTE body: the flow that a request was made for, while a code could still be of use in it: `account_id`,
 * `address_subject`, `channel`, `proof_epoch`, `code_hash`.
 */
export function liveFlow(
  clock: Clock,
  purpose: ChallengePurpose,
  request: Pick<DeliveryRequest, 'challengeId' | 'caller'>,
): RawBuilder<unknown> {
  return sql`select c.account_id, c.address_subject, c.channel, c.proof_epoch, c.code_hash from challenges c
    where c.challenge_id = ${request.challengeId}::uuid and c.purpose = ${purpose}::text
      and c.caller = ${request.caller}::text and c.used_at is null and c.expires_at > ${sqlNow(clock)}`;
}

/**
 * Makes the code of a flow, puts it in the flow, and gives the message to send: the last thing that happens
 * before the sending. One PostgreSQL trip, with the audit's record. Undefined: the flow went on, was used
 * or expired since it was read, and nothing is due any more.
 *
 * What may change about the account from here on is judged when the code is typed, under the account's
 * lock: the code names account, epoch, channel and address.
 */
export async function issueCode(
  deps: CodeMakingDeps & { readonly db: Db; readonly clock: Clock },
  request: DeliveryRequest,
  purpose: ChallengePurpose,
  to: CodeRecipient,
): Promise<OutgoingMessage | undefined> {
  const { accountId, channel, destination, longCode } = to;
  const binding = { purpose, subject: accountId ?? '', channel, destination };
  const length = longCode ? LONG_CODE_LENGTH : deps.codePolicy.length;
  const { code, digest } = drawCode(deps.random, deps.codeKeys, binding, length);
  const now = statementNow;
  const { rows } = await sql`
    with ${clockCte(deps.clock)},
    issued as (
      update challenges c set account_id = ${accountId ?? null}::uuid, proof_epoch = ${to.proofEpoch}::int,
        destination_sealed = ${sealDestination(deps, accountId, channel, destination)}::bytea,
        delivered_by = ${channel}::text, long_code = ${longCode}::boolean, issued_at = ${now},
        code_hash = sha256(${digest}::bytea || uuid_send(c.challenge_id))
      where c.challenge_id = ${request.challengeId}::uuid and c.purpose = ${purpose}::text
        and c.code_hash = ${to.flowHash}::bytea and c.used_at is null and c.expires_at > ${now}
      returning c.account_id
    ),
    audited as (${insertChange(
      now,
      changeBy(deps.random, request, 'code_sent', { channel, purpose }),
      { accountId: sql`issued.account_id`, from: sql`issued` },
    )})
    select from issued`.execute(deps.db);
  if (rows.length === 0) return undefined;
  return {
    kind: 'verification_code',
    channel,
    to: destination,
    locale: to.locale,
    variables: { code, purpose, minutes: minutesOf(deps.codePolicy) },
    accountId,
    lifetimeSeconds: deps.codePolicy.ttlSeconds,
  };
}
