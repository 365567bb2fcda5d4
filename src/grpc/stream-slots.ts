import { sourceKey } from '../throttling/index.js';
import { peerAddress } from './call-context.js';

export interface SlotLimits {
  readonly inAll: number;
  /** Of one IPv4 address, or one /64. */
  readonly perAddress: number;
  readonly perConnection: number;
}

/** Places for streams that last, which need no key: nobody may take them all. */
export interface StreamSlots {
  /**
   * Takes one for a peer as grpc-js names it: address and port, which two open connections share only
   * where they lead to two addresses of ours. Undefined: there is none left for it. What is returned gives it back; calling it twice is harmless.
   */
  take(peer: string): (() => void) | undefined;
}

export function createStreamSlots({ inAll, perAddress, perConnection }: SlotLimits): StreamSlots {
  /** At most `inAll` entries: counting them is cheaper than keeping sums right. */
  const taken = new Map<symbol, { readonly peer: string; readonly source: string }>();
  return {
    take(peer) {
      const source = sourceKey(peerAddress(peer));
      let ofConnection = 0;
      let ofAddress = 0;
      for (const other of taken.values()) {
        if (other.peer === peer) ofConnection += 1;
        if (other.source === source) ofAddress += 1;
      }
      if (taken.size >= inAll || ofAddress >= perAddress || ofConnection >= perConnection) return;
      const slot = Symbol();
      taken.set(slot, { peer, source });
      return () => void taken.delete(slot);
    },
  };
}
