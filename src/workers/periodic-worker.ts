import { setTimeout as delay } from 'node:timers/promises';
import type { Random } from '../core/ids.js';
import type { Logger } from '../core/logger.js';

export interface PeriodicWorkerDeps {
  /** For the log. */
  readonly name: string;
  /** From the end of one run to the begin of the next, give or take a quarter. */
  readonly intervalMs: number;
  /** Its signal aborts when the worker is disposed of. */
  run(signal: AbortSignal): Promise<void>;
  /** How long disposing waits for a run under way, which may hang on a database that does. */
  readonly stopMs?: number;
  readonly random: Random;
  readonly log: Logger;
}

/** Work that comes back. Runs never overlap; one that fails is logged, and the next comes as usual. */
export interface Worker extends AsyncDisposable {
  /** The first run begins at once. */
  start(): void;
  /** One whole run from now on, after the one that may be under way. Never rejects. */
  runOnce(): Promise<void>;
}

export function createPeriodicWorker({
  name,
  intervalMs,
  run,
  stopMs = 2_000,
  random,
  log,
}: PeriodicWorkerDeps): Worker {
  const stop = new AbortController();
  let timer: NodeJS.Timeout | undefined;
  let last: Promise<void> = Promise.resolve();
  let started = false;

  const runOnce = (): Promise<void> => {
    last = last.then(async () => {
      if (stop.signal.aborted) return;
      try {
        await run(stop.signal);
      } catch (error) {
        log.error({ worker: name, ...whatFailed(error) }, 'run failed');
      }
    });
    return last;
  };

  const loop = async (): Promise<void> => {
    await runOnce();
    if (stop.signal.aborted) return;
    // Jittered, so that replicas started together do not ask the database in step.
    const share = random.bytes(2).readUInt16BE() / 0xffff;
    timer = setTimeout(() => void loop(), intervalMs * (0.75 + share / 2));
  };

  return {
    start() {
      if (started) return;
      started = true;
      void loop();
    },
    runOnce,
    async [Symbol.asyncDispose]() {
      stop.abort();
      clearTimeout(timer);
      const ended = new AbortController();
      const bound = delay(stopMs, 'late', { signal: ended.signal }).catch(() => 'ended');
      if ((await Promise.race([last, bound])) === 'late') {
        log.warn({ worker: name, stopMs }, 'a run was still under way, and was left behind');
      }
      ended.abort();
    },
  };
}

/** Class and place of an error. Never its text, which may quote an address. */
export function whatFailed(error: unknown): { readonly error: string; readonly at?: string } {
  if (!(error instanceof Error)) return { error: 'unknown' };
  const at = error.stack
    ?.split('\n')
    .find((line) => /^ {4}at /.test(line))
    ?.trim();
  return { error: error.name, ...(at === undefined ? {} : { at }) };
}
