import { makeRoom } from './make-room.js';

interface Block {
  readonly untilMs: number;
  readonly recheckAtMs: number;
}

/**
 * Keys that Redis has called exhausted, remembered in this process so that a flood against them
 * costs nothing. Until `recheckAt` they are refused without asking. Afterwards Redis is asked again
 * (calls in flight may have been given back, or an operator flushed it), and the block counts only
 * where Redis does not answer: losing Redis does not open what it had shut.
 */
export interface BlockCache {
  /** Milliseconds to wait, where that is fresh enough to refuse without asking. */
  freshWait(key: string, nowMs: number): number | undefined;
  /** Milliseconds to wait by what Redis said last, however long ago. */
  lastKnownWait(key: string, nowMs: number): number | undefined;
  block(key: string, waitMs: number, nowMs: number): void;
  lift(key: string): void;
}

export const RECHECK_MS = 2_000;

/**
 * Why not the library's `inMemoryBlockOnConsumed`: its map has no bound and is walked from end to end
 * at every block beyond the 999th, and it is consulted per limiter, after the sibling charges of the
 * same call have already gone out.
 */
export function createBlockCache(maxKeys: number): BlockCache {
  const blocks = new Map<string, Block>();

  const lastKnownWait = (key: string, nowMs: number): number | undefined => {
    const held = blocks.get(key);
    if (held === undefined) return undefined;
    if (held.untilMs > nowMs) return held.untilMs - nowMs;
    blocks.delete(key);
    return undefined;
  };

  return {
    lastKnownWait,
    freshWait: (key, nowMs) => {
      const wait = lastKnownWait(key, nowMs);
      const held = blocks.get(key);
      return held !== undefined && held.recheckAtMs > nowMs ? wait : undefined;
    },
    block: (key, waitMs, nowMs) => {
      blocks.delete(key);
      makeRoom(blocks, maxKeys);
      blocks.set(key, { untilMs: nowMs + waitMs, recheckAtMs: nowMs + RECHECK_MS });
    },
    lift: (key) => {
      blocks.delete(key);
    },
  };
}
