import { makeRoom } from './make-room.js';

/** Counts per key in fixed windows that start with a key's first charge. */
export interface WindowCounters {
  /** Adds one; answers the milliseconds to wait if that was more than the limit. */
  add(id: string, nowMs: number): { readonly count: number; readonly msLeft: number };
  /** Takes one back, if the key's window is still open; never below zero. */
  takeBack(id: string, nowMs: number): void;
  readonly size: number;
}

interface Window {
  count: number;
  readonly endsAtMs: number;
}

/**
 * Why not the library's RateLimiterMemory: it reads `Date.now()` instead of the injected clock, arms a
 * timer per key, and keeps as many keys as a stranger cares to invent. Here no timer exists and
 * `maxKeys` bounds the memory.
 *
 * All windows of one instance have one length, so insertion order is the order in which they end:
 * the first entry of the map is always the next to expire. That makes sweeping and evicting O(1).
 * When full, the window that would end first is forgotten: who can fill it can shorten windows, not
 * more; refusing new keys instead would let them shut everybody out.
 */
export function createWindowCounters(windowMs: number, maxKeys: number): WindowCounters {
  const windows = new Map<string, Window>();

  const dropEnded = (nowMs: number): void => {
    for (const [id, window] of windows) {
      if (window.endsAtMs > nowMs) return;
      windows.delete(id);
    }
  };

  const open = (id: string, nowMs: number): Window => {
    const held = windows.get(id);
    if (held !== undefined) return held;
    makeRoom(windows, maxKeys);
    const window = { count: 0, endsAtMs: nowMs + windowMs };
    windows.set(id, window);
    return window;
  };

  return {
    add: (id, nowMs) => {
      dropEnded(nowMs);
      const window = open(id, nowMs);
      window.count += 1;
      // A wall clock that was set back must not make the wait longer than the window.
      return { count: window.count, msLeft: Math.min(window.endsAtMs - nowMs, windowMs) };
    },
    takeBack: (id, nowMs) => {
      dropEnded(nowMs);
      const window = windows.get(id);
      if (window !== undefined) window.count = Math.max(0, window.count - 1);
    },
    get size() {
      return windows.size;
    },
  };
}

/**
 * Per limiter; an entry takes some 150 bytes, with an email address in full twice that, so a full set of
 * all limiters stays below 150 MB.
 */
export const MAX_TRACKED_KEYS = 50_000;
