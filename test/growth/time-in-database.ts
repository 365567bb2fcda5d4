import { onQuery } from '../support/sent-queries.js';

export interface DatabaseTime extends Disposable {
  /** Milliseconds since the last time that this process has waited for answers of PostgreSQL. */
  take(): number;
}

/**
 * Adds up what passes between a statement and its answer, at the last place before the wire: parsing,
 * planning, execution, commit and the way there and back.
 */
export function timeInDatabase(): DatabaseTime {
  let total = 0;
  const listening = onQuery((_, answer, sentAtMs) => {
    const add = (): void => {
      total += performance.now() - sentAtMs;
    };
    if (answer instanceof Promise) answer.then(add, add);
  });
  return {
    take() {
      const taken = total;
      total = 0;
      return taken;
    },
    [Symbol.dispose]: () => listening[Symbol.dispose](),
  };
}
