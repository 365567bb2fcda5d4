/** Rules as they are met elsewhere, in which the budget belongs to the code or to the flow. */
export interface PaperRule {
  readonly name: string;
  readonly guessesPerCode: number;
}

export const paperRules: readonly PaperRule[] = [
  { name: '3 guesses per code, refilled with each new code', guessesPerCode: 3 },
  { name: '5 guesses per flow, unlimited flows', guessesPerCode: 5 },
];

/** What an attacker has, whichever rules stand in the way. */
export interface Attack {
  readonly days: number;
  /** Flows that are open at the same time, against one account. */
  readonly flowsAtOnce: number;
  readonly cooldownSeconds: number;
}

export interface Odds {
  readonly judged: number;
  /** That one of the guesses is right. */
  readonly chance: number;
}

const CODES = 1e6;

/**
 * Under a paper rule each cooldown brings every flow a new code (by the first: sent again, by the second: in
 * a flow opened anew), and the code its full number of guesses: nothing is ever used up.
 */
export function onPaper(rule: PaperRule, attack: Attack): Odds {
  const perFlow = Math.floor((attack.days * 86_400) / attack.cooldownSeconds);
  const codes = attack.flowsAtOnce * perFlow;
  return {
    judged: codes * rule.guessesPerCode,
    chance: 1 - (1 - rule.guessesPerCode / CODES) ** codes,
  };
}

/** The chance of guesses that were judged: `k` different ones hit a code of `n` digits with k / 10^n. */
export function chanceOf(
  guesses: readonly { readonly codeHash: string; readonly digits: number }[],
): number {
  const perCode = new Map<string, number>();
  for (const { codeHash, digits } of guesses) {
    perCode.set(codeHash, (perCode.get(codeHash) ?? 0) + 10 ** -digits);
  }
  return 1 - [...perCode.values()].reduce((missed, hit) => missed * (1 - hit), 1);
}
