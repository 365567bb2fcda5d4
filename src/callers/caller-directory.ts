import type { Clock } from '../core/clock.js';
import type { Logger } from '../core/logger.js';
import { type Db, shielded } from '../db/index.js';
import { type Caller, hashCallerKey, isCallerKey } from './caller.js';
import { selectLiveKeys } from './caller-store.js';

/** Who calls, by the key shown. Held in memory, so that a call costs no query. */
export interface CallerDirectory extends AsyncDisposable {
  /**
   * The service that has this key. Rejects only while nothing was ever read and the database is
   * away: then it cannot be said who has it.
   */
  find(key: string): Promise<Caller | undefined>;
  /** Reads the keys anew; rejects when the database is away, and what was read before stays. */
  refresh(): Promise<void>;
}

export interface CallerDirectoryDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Logger;
}

/** How long a revoked key may still work, and a new one may be unknown to whoever guesses. */
export const POLL_MS = 2_000;
/** At most one reading in this time on account of keys that are not known. */
const UNKNOWN_KEY_MS = 1_000;

/**
 * The whole set is replaced at each reading, and nothing is kept of keys that nobody has, so memory is
 * bounded by the table. A key added a moment ago works at once: an unknown one makes the directory
 * read again, at most once a second, however many are tried. Without the database the last set
 * keeps working.
 */
export function createCallerDirectory({ db, clock, log }: CallerDirectoryDeps): CallerDirectory {
  let callers: ReadonlyMap<string, Caller> | undefined;
  let reading: Promise<void> | undefined;
  let readAtMs = Number.NEGATIVE_INFINITY;
  let failing = false;

  const read = async (): Promise<void> => {
    try {
      // The reading is everybody's: it must not stop because the call that began it was cancelled.
      callers = index(await shielded(() => selectLiveKeys(db)));
      if (failing) log.info({}, 'callers are read again');
      failing = false;
    } catch (error) {
      if (!failing) log.warn({ err: error }, 'callers cannot be read; the last known ones stay');
      failing = true;
      throw error;
    }
  };

  const refresh = (): Promise<void> => {
    if (reading !== undefined) return reading;
    readAtMs = clock.now().getTime();
    reading = read().finally(() => {
      reading = undefined;
    });
    return reading;
  };

  const poll = (): void => {
    // Already logged, and the next poll tries again.
    refresh().catch(() => undefined);
  };
  const timer = setInterval(poll, POLL_MS);
  timer.unref();
  poll();

  return {
    refresh,
    find: async (key) => {
      if (!isCallerKey(key)) return undefined;
      const id = hashCallerKey(key).toString('base64');
      const known = callers?.get(id);
      if (known !== undefined) return known;
      if (callers === undefined) await refresh();
      else if (reading !== undefined || clock.now().getTime() - readAtMs >= UNKNOWN_KEY_MS) {
        await refresh().catch(() => undefined);
      }
      return callers?.get(id);
    },
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await reading?.catch(() => undefined);
    },
  };
}

function index(rows: Awaited<ReturnType<typeof selectLiveKeys>>): ReadonlyMap<string, Caller> {
  return new Map(
    rows.map((row) => [
      row.key_hash.toString('base64'),
      { name: row.caller, rpcGroups: new Set(row.rpc_groups) },
    ]),
  );
}
