import { sha256 } from '../../src/core/keys.js';
import type { PasswordHasher } from '../../src/passwords/index.js';

export interface CheapHasher extends PasswordHasher {
  /** What was asked of it so far; `verifications` does not include `decoys`. */
  readonly counts: { hashes: number; verifications: number; decoys: number };
  /** From now on hashes made earlier match and are outdated, as after a change of parameters. */
  moveOn(): void;
}

const PREFIX = 'cheap';

/**
 * A hasher for tests that run the house thousands of times: deterministic, fast, the same
 * outcomes as the real one. It is never reachable from configuration.
 */
export function createCheapHasher(): CheapHasher {
  const counts = { hashes: 0, verifications: 0, decoys: 0 };
  let generation = 1;

  return {
    counts,
    moveOn: () => {
      generation += 1;
    },

    refuses: () => undefined,

    admit: ({ signal }) => {
      signal.throwIfAborted();
      return { [Symbol.dispose]: () => {} };
    },

    async hash(password, { signal }) {
      signal.throwIfAborted();
      counts.hashes += 1;
      return { hash: encode(generation, password), pepper: null };
    },

    async verify(stored, password, { signal }) {
      signal.throwIfAborted();
      const [prefix, made] = stored?.hash.split('$') ?? [];
      if (stored === undefined || prefix !== PREFIX || stored.pepper !== null) {
        counts.decoys += 1;
        return { matches: false, outdated: false };
      }
      counts.verifications += 1;
      const matches = stored.hash === encode(Number(made), password);
      return { matches, outdated: matches && Number(made) !== generation };
    },
  };
}

function encode(generation: number, password: string): string {
  return `${PREFIX}$${generation}$${sha256(password).toString('hex')}`;
}
