import type { Clock } from '../core/clock.js';
import type { Logger } from '../core/logger.js';
import type { Db } from '../db/index.js';
import { type Caller, hashCallerKey, isCallerKey } from './caller.js';
import { selectCredentials } from './caller-store.js';

/** Who calls, by the key or the certificate shown. Held in memory, so that a call costs no query. */
export interface CallerDirectory extends AsyncDisposable {
  /**
   * The service that has this key. Rejects only while nothing was ever read and the database is
   * away: then it cannot be said who has it.
   */
  find(key: string): Promise<Caller | undefined>;
  /**
   * The service that one of a certificate's names was registered for. Undefined where none was;
   * `refused` where it is disabled, or where the names belong to several. Rejects as `find` does.
   */
  findByCertificate(names: readonly string[]): Promise<Caller | 'refused' | undefined>;
  /** Reads the callers anew; rejects when the database is away, and what was read before stays. */
  refresh(): Promise<void>;
}

export interface CallerDirectoryDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Logger;
}

/**
 * How long a revoked key or a removed name may still work, a new name may be unknown, and a new key may be
 * unknown to whoever guesses.
 */
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
  let callers: Index | undefined;
  let reading: Promise<void> | undefined;
  let readAtMs = Number.NEGATIVE_INFINITY;
  let failing = false;

  const read = async (): Promise<void> => {
    try {
      // The reading is everybody's: it must not stop because the call that began it was cancelled.
      callers = index(await selectCredentials(db));
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
      const known = callers?.byKey.get(id);
      if (known !== undefined) return known;
      if (callers === undefined) await refresh();
      else if (reading !== undefined || clock.now().getTime() - readAtMs >= UNKNOWN_KEY_MS) {
        await refresh().catch(() => undefined);
      }
      return callers?.byKey.get(id);
    },
    findByCertificate: async (names) => {
      if (callers === undefined) await refresh();
      const owners = new Set(names.flatMap((name) => callers?.byCertificate.get(name) ?? []));
      const [owner] = owners;
      return owners.size > 1 ? 'refused' : owner;
    },
    [Symbol.asyncDispose]: async () => {
      clearInterval(timer);
      await reading?.catch(() => undefined);
    },
  };
}

interface Index {
  readonly byKey: ReadonlyMap<string, Caller>;
  readonly byCertificate: ReadonlyMap<string, Caller | 'refused'>;
}

function index(rows: Awaited<ReturnType<typeof selectCredentials>>): Index {
  const byName = new Map<string, Caller>();
  const byKey = new Map<string, Caller>();
  const byCertificate = new Map<string, Caller | 'refused'>();
  for (const { caller: name, rpc_groups, disabled, key_hash, certificate_name } of rows) {
    // One object for each, so that two names of one caller are seen to be the same one's.
    const caller = byName.get(name) ?? { name, rpcGroups: new Set(rpc_groups) };
    byName.set(name, caller);
    if (key_hash !== null) byKey.set(key_hash.toString('base64'), caller);
    if (certificate_name !== null) {
      byCertificate.set(certificate_name, disabled ? 'refused' : caller);
    }
  }
  return { byKey, byCertificate };
}
