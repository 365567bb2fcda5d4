import { performance } from 'node:perf_hooks';
import { setTimeout as delay } from 'node:timers/promises';
import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import type { KeyRing } from '../core/keys.js';
import type { Logger } from '../core/logger.js';
import { untraced } from '../core/tracing.js';
import type { Db } from '../db/index.js';
import { type AccessEvent, type RecordedEvent, toRows } from './access-rows.js';
import { insertAccess } from './access-store.js';
import { createAddressSeal } from './address-seal.js';
import { createEventBuffer, type EventBuffer } from './event-buffer.js';

export interface AccessLogLimits {
  /** Events that wait for the database; beyond it the oldest are dropped and counted. */
  readonly buffer: number;
  readonly batch: number;
  readonly flushMs: number;
  /** Pause after a failed flush. */
  readonly retryMs: number;
  /** For the last flush, when the process ends. */
  readonly drainMs: number;
}

const DEFAULT_LIMITS: AccessLogLimits = {
  buffer: 20_000,
  batch: 200,
  flushMs: 250,
  retryMs: 1_000,
  drainMs: 5_000,
};

export interface AccessLogDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
  readonly dataKeys: KeyRing;
  readonly log: Logger;
  readonly limits?: Partial<AccessLogLimits>;
}

/** Writes access events behind the calls: no call waits for it, and none fails with it. */
export interface AccessLog extends AsyncDisposable {
  record(event: AccessEvent): void;
  /** Writes what waits now. Resolves when it is written, or the database did not take it. */
  flush(): Promise<void>;
  /** Events lost since the start. */
  readonly dropped: number;
  /** Events that are not written yet. */
  readonly waiting: number;
}

const WARN_EVERY_MS = 60_000;

export function createAccessLog(deps: AccessLogDeps): AccessLog {
  const { clock, random, log } = deps;
  const limits = { ...DEFAULT_LIMITS, ...deps.limits };
  const buffer = createEventBuffer<RecordedEvent>(limits.buffer, dropWarning(log));
  const writeAll = writer(deps, buffer, limits.batch);
  let timer: NodeJS.Timeout | undefined;
  let flushing: Promise<boolean> | undefined;
  let failing = false;
  let closed = false;

  const write = async (): Promise<void> => {
    clearTimeout(timer);
    timer = undefined;
    // Not within the call that happened to fill the batch: its end must not cut the write short.
    flushing ??= untraced(writeAll).finally(() => {
      flushing = undefined;
    });
    failing = !(await flushing);
    if (buffer.size > 0) schedule();
  };

  const schedule = (): void => {
    if (closed) return;
    timer ??= setTimeout(() => void write(), failing ? limits.retryMs : limits.flushMs);
  };

  const flush = async (): Promise<void> => {
    // One that is under way is without what came meanwhile.
    await flushing;
    await write();
  };

  return {
    record(event) {
      // This process's clock, not the database's: a batch may be written minutes after the calls
      // that it tells of, and nothing is decided by this time.
      buffer.add({ event, eventId: random.id(), occurredAt: clock.now() });
      if (buffer.size >= limits.batch && flushing === undefined && !failing) void write();
      else schedule();
    },
    flush,
    get dropped() {
      return buffer.dropped;
    },
    get waiting() {
      return buffer.size + buffer.taken;
    },
    async [Symbol.asyncDispose]() {
      closed = true;
      const done = new AbortController();
      const bound = delay(limits.drainMs, undefined, { signal: done.signal }).catch(() => {});
      await Promise.race([flush(), bound]);
      done.abort();
      clearTimeout(timer);
      const lost = buffer.size + buffer.taken;
      if (lost > 0) log.error({ lost }, 'access events perhaps lost at the end');
    },
  };
}

/**
 * Writes what waits, and what comes meanwhile only once that is a batch: while calls come there is always
 * a row or two more, and each pair would have a statement of its own. False when one could not be
 * written, and waits again. Never rejects.
 */
function writer(
  { db, random, dataKeys, log }: AccessLogDeps,
  buffer: EventBuffer<RecordedEvent>,
  limit: number,
): () => Promise<boolean> {
  const addresses = createAddressSeal(dataKeys, random);
  return async () => {
    let owed = buffer.size;
    while (buffer.size > 0 && (owed > 0 || buffer.size >= limit)) {
      const batch = buffer.take(limit);
      owed -= batch.length;
      try {
        await insertAccess(db, await toRows(db, addresses, batch));
        buffer.written();
      } catch (error) {
        buffer.giveBack();
        const kind = error instanceof Error ? error.name : 'unknown';
        log.warn({ error: kind, waiting: buffer.size }, 'access events not written');
        return false;
      }
    }
    return true;
  };
}

/** At most once a minute: while the database is away every call drops one. */
function dropWarning(log: Logger): (dropped: number) => void {
  let warnedAt = Number.NEGATIVE_INFINITY;
  return (dropped) => {
    if (performance.now() - warnedAt < WARN_EVERY_MS) return;
    warnedAt = performance.now();
    log.warn({ dropped }, 'access events dropped: the database does not take them');
  };
}
