import { type RawBuilder, sql } from 'kysely';
import { type ChangeEvent, changeBy, insertChanges } from '../audit/index.js';
import {
  type CodeDeps,
  chargeGuess,
  clearBudgets,
  codeExpired,
  type GuessKey,
  type GuessTarget,
  guessSubjects,
  judgeCode,
  laneOf,
  lockBudgets,
  type ProvenCode,
  redeemChallenge,
} from '../challenges/index.js';
import type { Call, Person } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Channel } from '../core/contact.js';
import { clockCte, type Db, onceMore, statementNow, untilAborted } from '../db/index.js';
import { accessTokenInvalid } from '../sessions/index.js';
import { isSignedIn, liveSession, proofEpochOf } from './account-store.js';
import { identifierTaken } from './errors.js';
import { type Identifier, type ProofPolicy, typeOfChannel } from './identifier.js';
import { proveAddress } from './identifier-store.js';
import {
  type AccountContacts,
  areNoticed,
  contactsOf,
  draftProofNotices,
  insertNotices,
  type Notices,
} from './notices.js';

export interface ConfirmIdentifierDeps extends CodeDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly proofPolicy: ProofPolicy;
}

/** Of a signed-in person, or of whoever holds the handle. */
type ConfirmCall = Call & { readonly person?: Person | undefined };

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
 * is counted and committed before it is judged, whatever happens to the call afterwards. Atomic in the
 * second: the code is used up, the identifier is proven, rival claims fall, budgets are cleared, notices
 * are queued.
 *
 * Throws, in this precedence: `CODE_EXPIRED`, `VERIFICATION_LOCKED`, `CODE_ATTEMPTS_EXHAUSTED`,
 * `CODE_INVALID`, `IDENTIFIER_TAKEN`; and `ACCESS_TOKEN_INVALID` where the session has ended.
 */
export async function confirmIdentifier(
  deps: ConfirmIdentifierDeps,
  call: ConfirmCall,
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
  const guess = await chargeGuess<AccountContacts | null>(
    deps.db,
    deps.clock,
    target,
    deps.budgetPolicy,
    { epoch, context: contactsOf(sql`c.account_id`) },
  );
  if (guess === undefined) throw await nothingLive(deps, call);
  const proof = judgeCode(deps, target, guess, input.code);
  const { accountId, context: contacts } = proof.guess;
  // A decoy's code is never right: there is an account.
  if (accountId === undefined || contacts === null) throw codeExpired();
  return prove(deps, call, { ...proof, accountId, contacts, channel: input.channel });
}

/** A session that ended elsewhere a moment ago looks like a code that is gone: one more trip tells. */
async function nothingLive(deps: ConfirmIdentifierDeps, { person, signal }: ConfirmCall) {
  if (person === undefined) return codeExpired();
  const signedIn = await isSignedIn(untilAborted(signal, deps.db), deps.clock, person);
  return signedIn ? codeExpired() : accessTokenInvalid();
}

interface Proof extends ProvenCode {
  readonly accountId: string;
  readonly contacts: AccountContacts;
  readonly channel: Channel;
}

/**
 * The second trip. A rival who proved the same address a moment ago shows as a unique violation, which
 * undoes the whole statement: run once more, it sees the rival and decides by policy. A second rival
 * cannot follow, since the first now holds the address.
 */
async function prove(
  deps: ConfirmIdentifierDeps,
  call: ConfirmCall,
  proof: Proof,
): Promise<ConfirmedIdentifier> {
  const notices = draftProofNotices(deps, call, proof.contacts, {
    accountId: proof.accountId,
    channel: proof.channel,
    destination: proof.destination,
  });
  const row = await onceMore('identifiers_holder', () => runProof(deps, call, proof, notices));
  if (row === undefined) throw call.person === undefined ? codeExpired() : accessTokenInvalid();
  if (!row.redeemed) throw codeExpired();
  if (row.value === null) throw identifierTaken();
  if (row.noticed) deps.outbox.dispatch(notices.messages);
  return {
    accountId: proof.accountId,
    identifier: {
      type: typeOfChannel(proof.channel),
      value: row.value,
      state: row.state,
      verifiedAt: row.verified_at,
      signInEnabled: row.sign_in_enabled,
      generated: false,
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
  call: ConfirmCall,
  { target, guess, accountId, channel, destination }: Proof,
  notices: Notices,
): Promise<ProofRow | undefined> {
  const now = statementNow;
  const key: GuessKey = { channel, lane: laneOf(target) };
  const subjects = sql`select v.* from account cross join ${guessSubjects(guess)}`;
  const alive: RawBuilder<boolean> =
    call.person === undefined
      ? sql<boolean>`a.account_id = ${accountId}::uuid and a.status = 'active'`
      : liveSession(now, call.person);
  const steps = proveAddress(
    now,
    { type: typeOfChannel(channel), value: destination },
    deps.proofPolicy,
  );
  const event = (action: string): ChangeEvent => changeBy(deps.random, call, action, { channel });
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
    ousted as (${steps.ousted}),
    collision as materialized (${steps.collision}),
    dropped as (${steps.dropped}),
    proven as (${steps.proven}),
    rivals as (${steps.rivals}),
    touched as (update accounts a set revision = a.revision + 1, updated_at = ${now}
      from proven p where a.account_id = p.account_id),
    ${insertNotices(now, notices, sql`proven`)}
    audited as (${insertChanges(now, [
      { ...event('identifier_proven'), accountId: sql`p.account_id`, from: sql`proven p` },
      {
        ...event('promotion_skipped'),
        accountId: sql`p.account_id`,
        from: sql`proven p where not p.sign_in_enabled`,
        found: sql`jsonb_build_object('reason', case when p.state = 'contact' then 'collision'
          when p.kept_demoted then 'kept_demoted' else 'policy' end)`,
      },
      { ...event('identifier_disputed'), accountId: sql`o.account_id`, from: sql`ousted o` },
    ])})
    select exists (select from redeemed) as redeemed, p.value, p.state, p.verified_at, p.sign_in_enabled,
      ${areNoticed(notices)} as noticed
    from account left join proven p on true`.execute(deps.db);
  return rows[0];
}
