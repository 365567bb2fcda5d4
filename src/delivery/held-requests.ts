import type { Random } from '../core/ids.js';
import type { DeliveryLimits } from './limits.js';
import type { Entry } from './sender.js';

/** Requests that wait for a moment of their own before they are resolved. */
export interface HeldRequests {
  /** False: there is no room. */
  hold(entry: Entry): boolean;
  waiting(): readonly Entry[];
  /** All of them, now. */
  release(): void;
}

interface Deps {
  readonly random: Random;
  readonly limits: DeliveryLimits;
  /** Where they go when their pause is over. */
  readonly pass: (entry: Entry) => void;
}

/**
 * Keeps what is done about an anonymous request apart from its answer, by a pause drawn for each. Resolving costs
 * more where somebody is behind what was typed; begun at once, it holds up the rest of the very answer, and at a
 * known distance whatever a stranger sends next (rule 9).
 */
export function createHeldRequests({ random, limits, pass }: Deps): HeldRequests {
  const held = new Map<Entry, NodeJS.Timeout>();
  const letGo = (entry: Entry): void => {
    clearTimeout(held.get(entry));
    held.delete(entry);
    pass(entry);
  };
  return {
    hold(entry) {
      const { requestPauseLeastMs: least, requestPauseMostMs: most } = limits;
      // No pause: begun in the same turn, before anybody can move the clock.
      if (most === 0) {
        pass(entry);
        return true;
      }
      if (held.size >= limits.queue) return false;
      const share = random.nonce(2).readUInt16BE() / 0xffff;
      held.set(entry, setTimeout(letGo, least + share * (most - least), entry));
      return true;
    },
    waiting: () => [...held.keys()],
    release() {
      for (const entry of [...held.keys()]) letGo(entry);
    },
  };
}
