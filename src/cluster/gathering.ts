import type { PlacedAnswer } from './messages.js';

/** Whom to ask, and how to hear of it. */
export interface Asked {
  readonly pid: number;
  readonly place: number;
  ask(id: number): void;
}

export interface Gathering {
  /**
   * One answer of each, or of those that answer in time. Whoever asks meanwhile, or a moment later, gets
   * the same: every worker may ask, and each time all have to answer.
   */
  gather(asked: readonly Asked[]): Promise<readonly PlacedAnswer[]>;
  answered(pid: number, id: number, answer: unknown): void;
  /** It will not answer any more. */
  left(pid: number): void;
}

interface Round {
  /** Places by pid. */
  readonly waiting: Map<number, number>;
  readonly answers: PlacedAnswer[];
  readonly end: () => void;
}

/** A worker that is busy for longer than this is left out. */
const ANSWER_MS = 1_000;
const HOLD_MS = 250;

export function createGathering(answerMs = ANSWER_MS): Gathering {
  const rounds = new Map<number, Round>();
  let lastId = 0;
  let held: Promise<readonly PlacedAnswer[]> | undefined;
  const settle = (round: Round, pid: number): void => {
    round.waiting.delete(pid);
    if (round.waiting.size === 0) round.end();
  };
  const ask = (asked: readonly Asked[]): Promise<readonly PlacedAnswer[]> =>
    new Promise((resolve) => {
      lastId += 1;
      const id = lastId;
      const answers: PlacedAnswer[] = [];
      const waiting = new Map(asked.map(({ pid, place }) => [pid, place]));
      const end = (): void => {
        clearTimeout(timer);
        rounds.delete(id);
        resolve(answers);
      };
      const timer = setTimeout(end, answerMs);
      rounds.set(id, { waiting, answers, end });
      for (const one of asked) one.ask(id);
      if (asked.length === 0) end();
    });
  const forget = (): void => {
    held = undefined;
  };
  return {
    gather(asked) {
      held ??= ask(asked).finally(() => setTimeout(forget, HOLD_MS).unref());
      return held;
    },
    answered(pid, id, answer) {
      const round = rounds.get(id);
      const place = round?.waiting.get(pid);
      if (round === undefined || place === undefined) return;
      round.answers.push({ place, answer });
      settle(round, pid);
    },
    left(pid) {
      for (const round of rounds.values()) if (round.waiting.has(pid)) settle(round, pid);
    },
  };
}
