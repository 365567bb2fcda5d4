import { type RawBuilder, sql } from 'kysely';
import { changeBy, insertChange } from '../audit/index.js';
import type { Call } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import {
  type Channel,
  type IdentifierType,
  type Locale,
  maskDestination,
} from '../core/contact.js';
import { clockCte, type Db, statementNow, untilAborted } from '../db/index.js';
import { type DeliveryRequest, insertMessage, type PreparedMessage } from '../delivery/index.js';
import type { Challenge } from './challenge.js';
import type { ChallengePurpose } from './code.js';
import { addressSubject, type CodeDeps, sealDestination } from './prepare-code.js';

export interface OpenFlowDeps extends CodeDeps {
  readonly db: Db;
  readonly clock: Clock;
}

/** An anonymous request for a code: nothing in it is known to be anybody's. */
export interface FlowRequest {
  readonly kind: DeliveryRequest['kind'];
  readonly purpose: ChallengePurpose;
  /** Canonical. */
  readonly typed: { readonly type: IdentifierType; readonly value: string };
  /** What the budgets count by: the channel of what was typed, or a fixed one where the account chooses. */
  readonly channel: Channel;
  /** This flow, again. */
  readonly challengeId: string | undefined;
  readonly locale: Locale;
}

export interface OpenedFlow extends Challenge {
  /** Nothing was sent: seconds until the same flow may be asked again (T4). */
  readonly waitSeconds: number | undefined;
}

interface FlowRow {
  challenge_id: string;
  expires_at: Date;
  resend_at: Date;
  sent: 'again' | 'fresh' | null;
  wait: number;
}

/**
 * Begins an anonymous flow, or goes on with one, and looks nothing up (docs/architecture.md, "Challenges"):
 * one challenge row and one request to the worker, whoever is behind what was typed, or nobody. A code is
 * made only when the request is resolved, at the moment of sending; until then, and for ever where none is
 * due, a random hash stands in its place.
 *
 * One PostgreSQL trip. Atomic: the flow's cooldown is judged, the code that was in it is dead, the
 * request is queued, and the audit tells of it. An id of no flow of this caller, purpose and address begins
 * another one, in which the cooldown runs from the start: made-up ids must not be a way around it.
 *
 * `heldSeconds`: a soft limit holds the request back for so long. The flow begins, and sends nothing yet.
 */
export async function openFlow(
  deps: OpenFlowDeps,
  call: Call,
  request: FlowRequest,
  heldSeconds?: number,
): Promise<OpenedFlow> {
  const flow = prepareFlow(deps, call, request);
  const { rows } = await flowStatement(deps, call, { ...request, heldSeconds }, flow).execute(
    untilAborted(call.signal, deps.db),
  );
  const row = rows[0];
  if (row === undefined) throw new Error('a flow always stands after it was opened');
  if (row.sent !== null) deps.outbox.dispatch([flow[row.sent]]);
  return {
    challengeId: row.challenge_id,
    channel: request.channel,
    maskedDestination: maskDestination(request.channel, request.typed.value),
    expiresAt: row.expires_at,
    resendAt: row.resend_at,
    waitSeconds: row.sent === null ? Math.max(1, row.wait) : undefined,
  };
}

/** What an exhausted admission answers to everybody alike: of the same shape, and nothing behind it. */
export function voidFlow(
  deps: OpenFlowDeps,
  request: FlowRequest,
  waitSeconds: number,
): OpenedFlow {
  const now = deps.clock.now().getTime();
  return {
    challengeId: deps.random.handle(),
    channel: request.channel,
    maskedDestination: maskDestination(request.channel, request.typed.value),
    expiresAt: new Date(now + deps.codePolicy.ttlSeconds * 1000),
    resendAt: new Date(now + waitSeconds * 1000),
    waitSeconds,
  };
}

interface HeldRequest extends FlowRequest {
  readonly heldSeconds: number | undefined;
}

interface PreparedFlow {
  readonly candidateId: string;
  readonly addressSubject: Buffer;
  readonly typedSealed: Buffer;
  readonly noCode: Buffer;
  /** The request names its flow, whose id the statement decides. */
  readonly again: PreparedMessage<DeliveryRequest>;
  readonly fresh: PreparedMessage<DeliveryRequest>;
}

const HASH_BYTES = 32;

function prepareFlow(deps: OpenFlowDeps, call: Call, request: FlowRequest): PreparedFlow {
  const { kind, typed, channel, locale, challengeId } = request;
  const candidateId = deps.random.handle();
  const message = (id: string) =>
    deps.outbox.prepare({
      kind,
      channel,
      locale,
      lifetimeSeconds: deps.codePolicy.ttlSeconds,
      challengeId: id,
      caller: call.caller,
      requestId: call.requestId,
      typed,
    });
  const fresh = message(candidateId);
  return {
    candidateId,
    addressSubject: flowSubject(deps.budgetSecret, typed),
    typedSealed: sealDestination(deps, undefined, channel, typed.value),
    noCode: deps.random.nonce(HASH_BYTES),
    again: challengeId === undefined ? fresh : message(challengeId),
    fresh,
  };
}

/**
 * What the budgets know by which somebody starts a flow. An address is the same one that signed-in sends
 * and proofs are counted by; a username is no address, and never meets one.
 */
export function flowSubject(secret: Buffer, typed: FlowRequest['typed']): Buffer {
  const kind = { username: 'username', email: 'email', phone: 'sms' }[typed.type];
  return addressSubject(secret, kind, typed.value);
}

function flowStatement(
  deps: OpenFlowDeps,
  call: Call,
  request: HeldRequest,
  flow: PreparedFlow,
): RawBuilder<FlowRow> {
  const now = statementNow;
  const { ttlSeconds, cooldownSeconds } = deps.codePolicy;
  const { heldSeconds, challengeId, purpose, channel } = request;
  const expires = sql`${now} + make_interval(secs => ${ttlSeconds}::float8)`;
  const resend = sql`${now} + make_interval(secs => ${heldSeconds ?? cooldownSeconds}::float8)`;
  const queue = (message: PreparedMessage<DeliveryRequest>, from: RawBuilder<unknown>) =>
    insertMessage(now, message, {
      accountId: sql`null`,
      locale: sql`${request.locale}::text`,
      from,
    });
  // A made-up id sends nothing at once, and neither does what is held back.
  const freshIsSent = challengeId === undefined && heldSeconds === undefined;
  return sql<FlowRow>`
    with ${clockCte(deps.clock)},
    known as materialized (${knownFlow(request, call.caller, flow.addressSubject)}),
    again as (${rotateFlow(request, flow, { expires, resend })}),
    fresh as (
      insert into challenges (challenge_id, account_id, purpose, channel, caller, address_subject,
        destination_sealed, code_hash, long_code, proof_epoch, issued_at, expires_at, resend_at)
      select ${flow.candidateId}::uuid, null, ${purpose}::text, ${channel}::text, ${call.caller}::text,
        ${flow.addressSubject}::bytea, ${flow.typedSealed}::bytea, ${flow.noCode}::bytea, false, 0, ${now},
        ${expires}, ${resend}
      where not exists (select from known)
      returning challenge_id, expires_at, resend_at
    ),
    ${challengeId === undefined ? sql`` : sql`queued_again as (${queue(flow.again, sql`again`)}),`}
    ${freshIsSent ? sql`queued as (${queue(flow.fresh, sql`fresh`)}),` : sql``}
    opened as materialized (
      select again.*, 'again' as sent from again
      union all select fresh.*, ${freshIsSent ? 'fresh' : null}::text from fresh
      union all select known.*, null from known where not exists (select from again)
    ),
    audited as (${insertChange(
      now,
      changeBy(deps.random, call, 'code_requested', { channel, purpose }),
      { accountId: sql`null`, from: sql`opened where sent is not null` },
    )})
    select o.challenge_id, o.expires_at, o.resend_at, o.sent,
      ceil(extract(epoch from o.resend_at - ${now}))::int as wait from opened o`;
}

/**
 * CTE body: the flow that the request names, if it is this caller's, for this purpose and this address. Locked: of
 * two requests at once the second is told how the first left it.
 */
function knownFlow(
  { challengeId, purpose, channel }: FlowRequest,
  caller: string,
  subject: Buffer,
): RawBuilder<unknown> {
  return sql`select c.challenge_id, c.expires_at, c.resend_at from challenges c
    where ${challengeId === undefined ? sql`false` : sql`c.challenge_id = ${challengeId}::uuid`}
      and c.purpose = ${purpose}::text and c.channel = ${channel}::text
      and c.caller = ${caller}::text and c.address_subject = ${subject}::bytea
    for no key update`;
}

/**
 * CTE body: goes on with the flow unless it cools down; of two at once the second finds it cooling.
 * A slot of an account stays the account's: only who holds its handle comes here. Any other flow is nobody's
 * again, until it is resolved anew.
 */
function rotateFlow(
  { challengeId, purpose, heldSeconds }: HeldRequest,
  flow: PreparedFlow,
  { expires, resend }: { expires: RawBuilder<unknown>; resend: RawBuilder<unknown> },
): RawBuilder<unknown> {
  const now = statementNow;
  if (challengeId === undefined || heldSeconds !== undefined)
    return sql`select * from known where false`;
  const nobodys =
    purpose === 'verify'
      ? sql``
      : sql`account_id = null, proof_epoch = 0, destination_sealed = ${flow.typedSealed}::bytea,
      delivered_by = null, reset_token_hash = null, reset_expires_at = null,`;
  return sql`
    update challenges c set ${nobodys} code_hash = ${flow.noCode}::bytea, long_code = false, issued_at = ${now},
      expires_at = ${expires}, resend_at = ${resend}, used_at = null
    from known k where c.challenge_id = k.challenge_id and c.resend_at <= ${now}
    returning c.challenge_id, c.expires_at, c.resend_at`;
}
