import type { Clock } from '../core/clock.js';
import type { Logger } from '../core/logger.js';
import { untraced } from '../core/tracing.js';
import { type Db, sqlNow } from '../db/index.js';
import { errorCode } from './error-code.js';
import type { DeliveryLimits } from './limits.js';
import type { DeliveryObserver } from './observer.js';
import { type FailedSend, type FinishedSend, finishFailed, finishSends } from './outbox-store.js';

/** Writes the results of sends in batches: one statement for many messages. */
export interface ResultWriter {
  finished(send: FinishedSend): void;
  failed(failure: FailedSend): void;
  /** Resolves when nothing waits to be written. */
  settled(): Promise<void>;
  /** From now on a failed write is not tried again. */
  stop(): void;
}

interface Deps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Logger;
  readonly limits: DeliveryLimits;
  readonly observer: DeliveryObserver;
}

export function createResultWriter(deps: Deps): ResultWriter {
  const { log, limits } = deps;
  const finished: FinishedSend[] = [];
  const failures: FailedSend[] = [];
  const pause = createPause();
  let writing: Promise<void> | undefined;
  let stopped = false;

  const waiting = (): number => finished.length + failures.length;

  const run = async (): Promise<void> => {
    try {
      while (waiting() > 0) {
        await pause.wait(limits.lingerMs, () => stopped || waiting() >= limits.batch);
        await write(deps, finished, failures).catch(async (error: unknown) => {
          log.warn({ error: errorCode(error), waiting: waiting() }, 'results of sends not written');
          if (!stopped) await pause.wait(limits.retryMs, () => stopped);
          else finished.length = failures.length = 0;
        });
      }
    } finally {
      // In the same turn as the last look at what waits: whatever is added later starts anew.
      writing = undefined;
    }
  };

  const add = <T>(list: T[], result: T): void => {
    if (waiting() >= limits.results) {
      log.error({ waiting: waiting() }, 'result of a send dropped: the message may be sent again');
      return;
    }
    list.push(result);
    // The call that happened to start this has an end of its own, which must not cut it short.
    writing ??= untraced(run);
    pause.check();
  };

  return {
    finished: (send) => add(finished, send),
    failed: (failure) => add(failures, failure),
    settled: () => writing ?? Promise.resolve(),
    stop() {
      stopped = true;
      pause.check();
    },
  };
}

/** One batch of each. Takes results off only once they are written: a failed write keeps them. */
async function write(
  { db, clock, limits, observer }: Deps,
  finished: FinishedSend[],
  failures: FailedSend[],
): Promise<void> {
  const done = finished.slice(0, limits.batch);
  if (done.length > 0) await finishSends(db, sqlNow(clock), done);
  finished.splice(0, done.length);
  const batch = failures.slice(0, limits.batch);
  if (batch.length > 0) observer.expired(await finishFailed(db, sqlNow(clock), batch));
  failures.splice(0, batch.length);
}

/** A pause that ends early when its condition holds at a `check`. One at a time. */
function createPause(): { wait(ms: number, over: () => boolean): Promise<void>; check(): void } {
  let check: () => void = () => {};
  return {
    wait: (ms, over) =>
      new Promise((resolve) => {
        const timer = setTimeout(resolve, ms);
        check = () => {
          if (!over()) return;
          clearTimeout(timer);
          resolve();
        };
        check();
      }),
    check: () => check(),
  };
}
