import type { KeySet, VerificationKey } from './key-set.js';
import { KeysUnavailableError, TokenInvalidError } from './token-errors.js';

export interface KeyCacheOptions {
  /** Fetches and reads the set; bounded in time and size. */
  readonly load: () => Promise<KeySet>;
  readonly now: () => Date;
  /** At most one fetch in this time, however many unknown `kid`s come. */
  readonly refetchIntervalMs: number;
  /** From this age on the set is fetched again before it is used. */
  readonly maxAgeMs: number;
  /** Up to this age it is used all the same while it cannot be fetched. */
  readonly maxStaleMs: number;
}

export interface KeyCache {
  /** Throws `TokenInvalidError` (no such key) or `KeysUnavailableError` (nobody can tell). */
  find(kid: string): Promise<VerificationKey>;
  /** Fetches the set unless it is held. */
  warmUp(): Promise<void>;
}

// While there is no set at all every call fails, so tries come more often than for an unknown key.
const FIRST_LOAD_RETRY_MS = 1_000;

/**
 * Holds the key set. Nothing runs in the background: a fetch is made when a call needs one, by one
 * call for all (single flight), and no more often than the interval allows, whether it fails or
 * not.
 */
export function createKeyCache(options: KeyCacheOptions): KeyCache {
  const { load, refetchIntervalMs, maxAgeMs, maxStaleMs } = options;
  let held: { readonly keys: KeySet; readonly time: number } | undefined;
  let lastTry: { readonly time: number; readonly error?: unknown } | undefined;
  let flight: Promise<void> | undefined;

  // A clock that was set back counts as "long ago", or it would stop every fetch until it caught
  // up.
  const since = (time: number) => {
    const passed = options.now().getTime() - time;
    return passed < 0 ? Number.POSITIVE_INFINITY : passed;
  };
  const keysWithin = (ms: number) =>
    held !== undefined && since(held.time) < ms ? held.keys : undefined;

  const refresh = async (): Promise<void> => {
    const time = options.now().getTime();
    try {
      held = { keys: await load(), time };
      lastTry = { time };
    } catch (error) {
      lastTry = { time, error };
    }
  };
  const refreshIfAllowed = async (): Promise<void> => {
    const interval = keysWithin(maxStaleMs)
      ? refetchIntervalMs
      : Math.min(refetchIntervalMs, FIRST_LOAD_RETRY_MS);
    if (flight === undefined) {
      if (lastTry !== undefined && since(lastTry.time) < interval) return;
      flight = refresh().finally(() => {
        flight = undefined;
      });
    }
    await flight;
  };
  const find = async (kid: string): Promise<VerificationKey> => {
    const fresh = keysWithin(maxAgeMs)?.get(kid);
    if (fresh !== undefined) return fresh;
    await refreshIfAllowed();
    const found = keysWithin(maxStaleMs)?.get(kid);
    if (found !== undefined) return found;
    // After a failed fetch the key may be a new one that we could not see: that is no verdict.
    if (lastTry?.error !== undefined || keysWithin(maxStaleMs) === undefined) {
      throw new KeysUnavailableError(lastTry?.error);
    }
    throw new TokenInvalidError('KEY_UNKNOWN');
  };
  const warmUp = async (): Promise<void> => {
    if (keysWithin(maxAgeMs) === undefined) await refreshIfAllowed();
    if (keysWithin(maxStaleMs) === undefined) throw new KeysUnavailableError(lastTry?.error);
  };
  return { find, warmUp };
}
