import { sql } from 'kysely';
import type { Call } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Db } from '../db/index.js';
import { chargeGuess, type GuessTarget, type LiveChallenge } from './challenge-store.js';
import { codeMatches, LONG_CODE_LENGTH } from './code.js';
import { codeExpired } from './errors.js';
import { laneOf } from './guess-budget.js';
import { mayCompare, wrongGuess } from './judge-guess.js';
import { type CodeMakingDeps, openDestination } from './prepare-code.js';

/** A right code, and the address that it was sent to: the one in the challenge, never one of a request. */
export interface ProvenCode<Context = unknown> {
  readonly target: GuessTarget;
  readonly guess: LiveChallenge<Context>;
  readonly destination: string;
}

/**
 * Compares a charged guess with the code of its challenge, if it may be compared. A challenge without a code
 * (a decoy) has a random hash in its place, and costs the same work.
 *
 * Throws, in this precedence: `VERIFICATION_LOCKED`, `CODE_ATTEMPTS_EXHAUSTED`, `CODE_INVALID`.
 */
export function judgeCode<Context>(
  deps: Pick<CodeMakingDeps, 'dataKeys' | 'codeKeys' | 'budgetPolicy'>,
  target: GuessTarget,
  guess: LiveChallenge<Context>,
  code: string,
): ProvenCode<Context> {
  const lane = laneOf(target);
  const { accountId, deliveredBy, challengeId } = guess;
  const destination = openDestination(
    deps.dataKeys,
    accountId,
    deliveredBy,
    guess.destinationSealed,
  );
  const binding = {
    purpose: target.purpose,
    subject: accountId ?? '',
    channel: deliveredBy,
    destination,
  };
  const right =
    mayCompare(withLengthOf(guess, code), lane, deps.budgetPolicy) &&
    codeMatches(deps.codeKeys, binding, challengeId, code, guess.codeHash);
  if (!right) throw wrongGuess('code', guess, lane, deps.budgetPolicy);
  return { target, guess, destination };
}

/**
 * The first trip of whoever completes an anonymous flow: the guess is counted and committed, and then judged.
 *
 * Whether the account's codes have died since is asked of a right code alone, when it is redeemed: a stranger who
 * guesses must not see in the answer that something happened to an account.
 *
 * Throws, in this precedence: `CODE_EXPIRED`, and what `judgeCode` does.
 */
export async function judgeFlow(
  deps: CodeMakingDeps & { readonly db: Db; readonly clock: Clock },
  { caller }: Pick<Call, 'caller'>,
  flow: Pick<GuessTarget, 'purpose' | 'channel'> & { readonly challengeId: string },
  code: string,
): Promise<ProvenCode> {
  const target: GuessTarget = { ...flow, accountId: undefined, caller };
  const guess = await chargeGuess(deps.db, deps.clock, target, deps.budgetPolicy, {
    epoch: sql<number>`c.proof_epoch`,
    context: sql<null>`null`,
  });
  if (guess === undefined) throw codeExpired();
  return judgeCode(deps, target, guess, code);
}

/** No code of the ordinary length is compared while a row is shut (T2), at a long challenge either. */
function withLengthOf<Context>(
  guess: LiveChallenge<Context>,
  code: string,
): LiveChallenge<Context> {
  return { ...guess, longCode: guess.longCode && code.length === LONG_CODE_LENGTH };
}
