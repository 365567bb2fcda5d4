import { makeRoom } from './make-room.js';

/**
 * A source that an address knows: a code for the address was confirmed from it, or somebody signed in
 * from it with the address, within this time. Soft, like all of this slice: what is forgotten makes a
 * stranger of its owner, never the other way round.
 */
export const KNOWN_SECONDS = 90 * 24 * 60 * 60;

/** What one address remembers, the newest; the oldest goes first. */
export const MAX_KNOWN_PER_ADDRESS = 8;

export interface KnownSources {
  has(address: string, source: string, nowMs: number): boolean;
  add(address: string, source: string, nowMs: number): void;
  /** Addresses. */
  readonly size: number;
}

/** For one process alone, in memory; when full, the address that would be forgotten first is. */
export function createKnownSources(maxAddresses: number): KnownSources {
  // Both in order of their ends, since all last equally long from when they were added last.
  const addresses = new Map<string, Map<string, number>>();
  return {
    has: (address, source, nowMs) => (addresses.get(address)?.get(source) ?? 0) > nowMs,
    add: (address, source, nowMs) => {
      const ends = addresses.get(address) ?? new Map<string, number>();
      addresses.delete(address);
      makeRoom(addresses, maxAddresses);
      addresses.set(address, ends);
      ends.delete(source);
      makeRoom(ends, MAX_KNOWN_PER_ADDRESS);
      ends.set(source, nowMs + KNOWN_SECONDS * 1000);
    },
    get size() {
      return addresses.size;
    },
  };
}
