import { type RawBuilder, sql } from 'kysely';
import { changeBy, insertChange } from '../audit/index.js';
import {
  budgetsOfSend,
  type Challenge,
  type CodeDeps,
  openSlot,
  type PreparedCode,
  prepareCode,
  readChallenges,
  resendTooSoon,
  verificationLocked,
} from '../challenges/index.js';
import type { PersonCall } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Channel, Locale } from '../core/contact.js';
import { fieldInvalid } from '../core/errors.js';
import { clockCte, type Db, onceMore, sqlNow, statementNow, untilAborted } from '../db/index.js';
import { insertMessage } from '../delivery/index.js';
import {
  findIdempotent,
  type IdempotencyDeps,
  type IdempotentRequest,
  insertIdempotent,
  isNotRepeated,
} from '../idempotency/index.js';
import { accessTokenInvalid } from '../sessions/index.js';
import { sendCharges, spendOnSends, type Throttle } from '../throttling/index.js';
import { authenticatedLately, liveSession } from './account-store.js';
import { reauthenticationRequired } from './errors.js';
import { typeOfChannel } from './identifier.js';
import { claimAddress } from './identifier-store.js';

export interface SendVerificationCodeDeps extends CodeDeps, IdempotencyDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly throttle: Throttle;
}

export interface SendVerificationCodeInput {
  readonly channel: Channel;
  /** Canonical; absent: the one that waits on the account. */
  readonly destination: string | undefined;
  /** Proto field of the destination, for errors. */
  readonly field: string;
  readonly requestId: string | undefined;
}

export interface SentCode {
  readonly challenge: Challenge;
  /** An earlier call with this `request_id` sent it; nothing was sent now. */
  readonly repeated: boolean;
}

/**
 * Sends a code to the address that waits on the account, or to another one to link or change to,
 * which the account thereby claims. The slot of this account and channel keeps its id; the code that
 * was in it is dead.
 *
 * One PostgreSQL trip with a destination, whose limits the edge has charged; two, and a charge of its
 * own between them, without (the first finds it). Atomic: slot, claim, message and audit stand together
 * or not at all; the message is handed to the sender after commit.
 *
 * Throws `ACCESS_TOKEN_INVALID` (the session has ended), `FIELD_INVALID` (nothing waits to be
 * confirmed), `REAUTHENTICATION_REQUIRED` (another address, and the last authentication is over ten
 * minutes old), `VERIFICATION_LOCKED` (this person's own budget is shut), `RESEND_TOO_SOON`,
 * `REQUEST_ID_REUSED`.
 */
export async function sendVerificationCode(
  deps: SendVerificationCodeDeps,
  call: PersonCall,
  input: SendVerificationCodeInput,
): Promise<SentCode> {
  if (input.destination !== undefined) return send(deps, call, input, input.destination);
  const destination = await waitingDestination(deps, call, input);
  const charges = sendCharges(input.channel, destination, call);
  const receipt = await deps.throttle.consume(charges);
  const work = () => send(deps, call, input, destination);
  return spendOnSends(receipt, charges, work, ({ repeated }) => repeated);
}

async function send(
  deps: SendVerificationCodeDeps,
  call: PersonCall,
  input: SendVerificationCodeInput,
  destination: string,
): Promise<SentCode> {
  const prepared = prepareCode(deps, {
    accountId: call.person.accountId,
    channel: input.channel,
    destination,
    caller: call.caller,
    locale: call.locale,
  });
  const request: IdempotentRequest = {
    rpc: `send_${input.channel}_code`,
    caller: call.caller,
    requestId: input.requestId,
    body: [call.person.accountId, input.destination ?? ''],
  };
  const { channel } = input;
  // `SetPhoneNumber` may have claimed another number while this waited for the account.
  const row = await onceMore('identifiers_claimed_once', () =>
    runSend(deps, call, { prepared, destination, channel, request }),
  );
  if (row === undefined) throw accessTokenInvalid();
  if (row.challenge_id === null) {
    if ((await findIdempotent(deps, request)) === undefined) throw refusal(row, deps);
    return { challenge: await standingChallenge(deps, call, channel), repeated: true };
  }
  const message = row.long_code ? prepared.long : prepared.short;
  deps.outbox.dispatch([{ ...message, message: { ...message.message, locale: row.locale } }]);
  const challenge = {
    challengeId: row.challenge_id,
    channel,
    maskedDestination: prepared.maskedDestination,
    expiresAt: row.expires_at,
    resendAt: row.resend_at,
  };
  return { challenge, repeated: false };
}

interface SendRow {
  /** An address that the account has already, or a person who authenticated lately. */
  allowed: boolean;
  locale: Locale;
  account_wait: number | null;
  cooldown_wait: number | null;
  /** Null: nothing was sent. */
  challenge_id: string | null;
  expires_at: Date;
  resend_at: Date;
  long_code: boolean | null;
}

interface Send {
  readonly prepared: PreparedCode;
  readonly destination: string;
  readonly channel: Channel;
  readonly request: IdempotentRequest;
}

async function runSend(deps: SendVerificationCodeDeps, call: PersonCall, send: Send) {
  const { prepared, channel } = send;
  const now = statementNow;
  const claim = { type: typeOfChannel(channel), value: send.destination };
  const claims = claimAddress(sql`f.issued_at`, claim, {
    from: sql`slot`,
    replaced: sql`replaced`,
    claimed: sql`claimed`,
  });
  const message = (which: 'short' | 'long', when: RawBuilder<unknown>) =>
    insertMessage(sql`s.issued_at`, prepared[which], {
      accountId: sql`s.account_id`,
      locale: sql`s.locale`,
      from: sql`(select slot.account_id, slot.issued_at, gate.locale from slot, gate where ${when}) s`,
    });
  const { rows } = await sql<SendRow>`
    with ${clockCte(deps.clock)},
    person as materialized (
      select a.account_id, a.proof_epoch, coalesce(l.locale, ${call.locale}::text) as locale,
        ${authenticatedLately(now, call.person)} or exists (select from identifiers i where i.account_id = a.account_id
          and i.type = ${claim.type}::text and i.value = ${claim.value}::text) as allowed
      from accounts a join account_settings l on l.account_id = a.account_id
      where ${liveSession(now, call.person)}
      for no key update of a
    ),
    budgets as materialized (${budgetsOfSend(now, channel, {
      account: sql`uuid_send(${call.person.accountId}::uuid)`,
      address: prepared.slot.addressSubject,
    })}),
    standing as materialized (
      select c.resend_at from challenges c, person p
      where c.account_id = p.account_id and c.channel = ${channel}::text and c.purpose = 'verify'
    ),
    gate as materialized (
      select p.*, b.needs_long_code as long_code, ${now} as now from person p, budgets b
      where p.allowed and b.account_wait is null and ${isNotRepeated(now, send.request)}
    ),
    slot as (${openSlot(sql`f.now`, prepared.slot, deps.codePolicy, sql`gate`)}),
    replaced as (${claims.replaced}),
    claimed as (${claims.claimed}),
    fallen as (${claims.fallen}),
    sent_short as (${message('short', sql`not slot.long_code`)}),
    sent_long as (${message('long', sql`slot.long_code`)}),
    audited as (${insertChange(
      sql`slot.issued_at`,
      changeBy(deps.random, call, 'code_sent', { channel, purpose: 'verify' }),
      { accountId: sql`slot.account_id`, from: sql`slot` },
    )}),
    remembered as (${insertIdempotent(deps, now, send.request, { result: sql`'{}'::jsonb`, from: sql`slot` })})
    select p.allowed, p.locale, b.account_wait, s.challenge_id, s.long_code,
      s.expires_at, s.resend_at, ceil(extract(epoch from o.resend_at - ${now}))::int as cooldown_wait
    from person p cross join budgets b left join slot s on true left join standing o on true`.execute(
    untilAborted(call.signal, deps.db),
  );
  return rows[0];
}

function refusal(row: SendRow, deps: SendVerificationCodeDeps) {
  if (!row.allowed) return reauthenticationRequired();
  if (row.account_wait !== null) return verificationLocked(row.account_wait);
  return resendTooSoon(Math.max(1, row.cooldown_wait ?? deps.codePolicy.cooldownSeconds));
}

/**
 * What the first call with this `request_id` made. Read anew: where the two raced, it was not there yet
 * for the statement that found nothing left to do.
 */
async function standingChallenge(
  deps: SendVerificationCodeDeps,
  call: PersonCall,
  channel: Channel,
): Promise<Challenge> {
  const { accountId } = call.person;
  const standing = (await readChallenges(deps, accountId)).find((slot) => slot.channel === channel);
  // Slots outlive request ids (see the sweeps).
  if (standing === undefined) throw new Error('a send is remembered and its slot is gone');
  return standing;
}

/** The claimed address, else the one that lapsed, else the one that is held: what a bare request means. */
async function waitingDestination(
  deps: SendVerificationCodeDeps,
  call: PersonCall,
  input: SendVerificationCodeInput,
): Promise<string> {
  const now = sqlNow(deps.clock);
  const { rows } = await sql<{ value: string | null }>`
    select (select i.value from identifiers i
      where i.account_id = a.account_id and i.type = ${typeOfChannel(input.channel)}::text
      order by i.state = 'claimed' desc, i.state = 'lapsed' desc limit 1) as value
    from accounts a where ${liveSession(now, call.person)}`.execute(
    untilAborted(call.signal, deps.db),
  );
  const found = rows[0];
  if (found === undefined) throw accessTokenInvalid();
  if (found.value === null)
    throw fieldInvalid(input.field, 'nothing waits to be confirmed: name an address');
  return found.value;
}
