import { type RawBuilder, sql } from 'kysely';
import { insertChange } from '../audit/index.js';
import {
  type CodeDeps,
  chargeGuess,
  clearBudgets,
  codeExpired,
  codeMatches,
  type GuessKey,
  type GuessTarget,
  type LiveChallenge,
  LONG_CODE_LENGTH,
  lockBudgets,
  mayCompare,
  openDestination,
  redeemChallenge,
  wrongGuess,
} from '../challenges/index.js';
import type { Call, Person } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Channel } from '../core/contact.js';
import { clockCte, type Db, statementNow, uniqueViolation, untilAborted } from '../db/index.js';
import { accessTokenInvalid } from '../sessions/index.js';
import { isSignedIn, liveSession, proofEpochOf } from './account-store.js';
import { identifierTaken } from './errors.js';
import { type Identifier, type ProofPolicy, typeOfChannel } from './identifier.js';
import { proveAddress } from './identifier-store.js';
import {
  type AccountContacts,
  contactsOf,
  draftNotices,
  insertNotices,
  type Notices,
} from './notices.js';

export interface ConfirmIdentifierDeps extends CodeDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly proofPolicy: ProofPolicy;
}

export interface ConfirmIdentifierInput {
  readonly channel: Channel;
  /** The claim's handle; may be absent where a person is signed in. */
  readonly challengeId: string | undefined;
  /** Digits of a possible length (`parseCode`). */
  readonly code: string;
}

export interface ConfirmedIdentifier {
  readonly accountId: string;
  readonly identifier: Identifier;
}

/**
 * Proves the address of a challenge by its code, for whoever holds its handle or is signed in to its
 * account. The address that becomes verified is the one in the challenge, never one of the request.
 *
 * Two PostgreSQL trips, one for a wrong code (two where a signed-in person has none waiting): the guess
 * is counted and committed before it is judged,
 * whatever happens to the call afterwards. Atomic in the second: the code is used up, the identifier is
 * proven, rival claims fall, budgets are cleared, notices are queued.
 *
 * Throws, in this precedence: `CODE_EXPIRED`, `VERIFICATION_LOCKED`, `CODE_ATTEMPTS_EXHAUSTED`,
 * `CODE_INVALID`, `IDENTIFIER_TAKEN`; and `ACCESS_TOKEN_INVALID` where the session has ended.
 */
export async function confirmIdentifier(
  deps: ConfirmIdentifierDeps,
  call: Call & { readonly person?: Person | undefined },
  input: ConfirmIdentifierInput,
): Promise<ConfirmedIdentifier> {
  const { person } = call;
  if (input.challengeId === undefined && person === undefined) throw codeExpired();
  const target: GuessTarget = {
    challengeId: input.challengeId,
    accountId: person?.accountId,
    purpose: 'verify',
    channel: input.channel,
    caller: call.caller,
  };
  const epoch = proofEpochOf(statementNow, person);
  const guess = await chargeGuess<AccountContacts>(deps.db, deps.clock, target, deps.budgetPolicy, {
    epoch,
    context: contactsOf(),
  });
  if (guess === undefined) throw await nothingLive(deps, call);
  const lane = person === undefined ? 'anonymous' : 'session';
  const destination = openDestination(
    deps.dataKeys,
    guess.accountId,
    input.channel,
    guess.destinationSealed,
  );
  if (
    !mayCompare(withLengthOf(guess, input.code), lane, deps.budgetPolicy) ||
    !codeMatches(
      deps.codeKeys,
      binding(target, guess, destination),
      guess.challengeId,
      input.code,
      guess.codeHash,
    )
  ) {
    throw wrongGuess('code', guess, lane, deps.budgetPolicy);
  }
  return prove(deps, call, { target, guess, destination });
}

/** No code of the ordinary length is compared while a row is shut (T2), at a long challenge either. */
function withLengthOf(guess: LiveChallenge, code: string): LiveChallenge {
  return { ...guess, longCode: guess.longCode && code.length === LONG_CODE_LENGTH };
}

/** A session that ended elsewhere a moment ago looks like a code that is gone: one more trip tells. */
async function nothingLive(
  deps: ConfirmIdentifierDeps,
  { person, signal }: Call & { readonly person?: Person | undefined },
) {
  if (person === undefined) return codeExpired();
  const signedIn = await isSignedIn(untilAborted(signal, deps.db), deps.clock, person);
  return signedIn ? codeExpired() : accessTokenInvalid();
}

interface Proof {
  readonly target: GuessTarget;
  readonly guess: LiveChallenge<AccountContacts>;
  readonly destination: string;
}

const binding = (
  target: GuessTarget,
  guess: LiveChallenge<AccountContacts>,
  destination: string,
) => ({
  purpose: target.purpose,
  subject: guess.accountId,
  channel: target.channel,
  destination,
});

/**
 * The second trip. A rival who proved the same address a moment ago shows as a unique violation, which
 * undoes the whole statement: run once more, it sees the rival and decides by policy. A second rival
 * cannot follow, since the first now holds the address.
 */
async function prove(
  deps: ConfirmIdentifierDeps,
  call: Call & { readonly person?: Person | undefined },
  proof: Proof,
): Promise<ConfirmedIdentifier> {
  const notices = draftNotices(deps, call, proof.guess.context, {
    accountId: proof.guess.accountId,
    channel: proof.target.channel,
    destination: proof.destination,
  });
  const attempt = () => runProof(deps, call, proof, notices);
  const row = await attempt().catch((error: unknown) => {
    if (uniqueViolation(error) === 'identifiers_holder') return attempt();
    throw error;
  });
  if (row === undefined) throw call.person === undefined ? codeExpired() : accessTokenInvalid();
  if (!row.redeemed) throw codeExpired();
  if (row.value === null) throw identifierTaken();
  if (row.noticed) deps.outbox.dispatch(notices.messages);
  return {
    accountId: proof.guess.accountId,
    identifier: {
      type: typeOfChannel(proof.target.channel),
      value: row.value,
      state: row.state,
      verifiedAt: row.verified_at,
      signInEnabled: row.sign_in_enabled,
    },
  };
}

interface ProofRow {
  redeemed: boolean;
  /** Null: the address is another account's. */
  value: string | null;
  state: 'verified' | 'contact';
  verified_at: Date;
  sign_in_enabled: boolean;
  noticed: boolean;
}

async function runProof(
  deps: ConfirmIdentifierDeps,
  call: Call & { readonly person?: Person | undefined },
  { target, guess, destination }: Proof,
  notices: Notices,
): Promise<ProofRow | undefined> {
  const now = statementNow;
  const lane = call.person === undefined ? 'anonymous' : 'session';
  const key: GuessKey = { channel: target.channel, lane };
  const told = notices.messages.length > 0;
  const subjects = sql`select v.subject, v.charged from account cross join lateral (
    values (uuid_send(account_id), ${guess.account.charged}::boolean),
      (${guess.addressSubject}::bytea, ${guess.address.charged}::boolean)) v (subject, charged)`;
  const alive: RawBuilder<boolean> =
    call.person === undefined
      ? sql<boolean>`a.account_id = ${guess.accountId}::uuid and a.status = 'active'`
      : liveSession(now, call.person);
  const steps = proveAddress(
    now,
    { type: typeOfChannel(target.channel), value: destination },
    deps.proofPolicy,
  );
  const { rows } = await sql<ProofRow>`
    with ${clockCte(deps.clock)},
    account as materialized (
      select a.account_id, a.proof_epoch from accounts a where ${alive} for no key update
    ),
    locked as materialized (${lockBudgets(key, subjects)}),
    redeemed as (${redeemChallenge(deps.clock, guess, target, { account: sql`account`, after: sql`locked` })}),
    cleared as (${clearBudgets(key, {
      locked: sql`locked`,
      when: sql`select from redeemed`,
    })}),
    collision as materialized (${steps.collision}),
    dropped as (${steps.dropped}),
    proven as (${steps.proven}),
    rivals as (${steps.rivals}),
    touched as (update accounts a set revision = a.revision + 1, updated_at = ${now}
      from proven p where a.account_id = p.account_id),
    ${told ? insertNotices(now, notices, sql`proven`) : sql``}
    audited as (${insertChange(
      now,
      {
        eventId: deps.random.id(),
        action: 'identifier_proven',
        caller: call.caller,
        requestId: call.requestId,
        outcome: 'ok',
        detail: { channel: target.channel },
      },
      { accountId: sql`proven.account_id`, from: sql`proven` },
    )})
    select exists (select from redeemed) as redeemed, p.value, p.state, p.verified_at, p.sign_in_enabled,
      ${told ? sql`exists (select from noticed)` : sql`false`} as noticed
    from account left join proven p on true`.execute(deps.db);
  return rows[0];
}
