import type { GuessTarget, LiveChallenge } from './challenge-store.js';
import { codeMatches, LONG_CODE_LENGTH } from './code.js';
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

/** No code of the ordinary length is compared while a row is shut (T2), at a long challenge either. */
function withLengthOf<Context>(
  guess: LiveChallenge<Context>,
  code: string,
): LiveChallenge<Context> {
  return { ...guess, longCode: guess.longCode && code.length === LONG_CODE_LENGTH };
}
