import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import type { Logger } from '../core/logger.js';
import type { Db } from '../db/index.js';
import { createPeriodicWorker, type Worker, whatFailed } from './periodic-worker.js';

/** Deletes what nobody can ask for any more, from one table. */
export interface Sweep {
  /** For the log. */
  readonly name: string;
  /**
   * Deletes at most `limit` rows in one statement, passing over those that others have locked.
   * Answers how many.
   */
  sweep(db: Db, clock: Clock, limit: number): Promise<number>;
}

export interface SweepingWorkerDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly sweeps: readonly Sweep[];
  readonly intervalMs?: number;
}

const BATCH = 500;
/** Per sweep and run, so that a backlog of one table does not keep the others waiting. */
const ROUNDS = 20;

/** Runs every sweep once a minute, in small transactions. One that fails does not stop the others. */
export function createSweepingWorker(deps: SweepingWorkerDeps): Worker {
  const { db, clock, random, log, sweeps, intervalMs = 60_000 } = deps;

  const runSweep = async ({ name, sweep }: Sweep, signal: AbortSignal): Promise<void> => {
    let total = 0;
    for (let round = 0; round < ROUNDS && !signal.aborted; round += 1) {
      const deleted = await sweep(db, clock, BATCH);
      total += deleted;
      if (deleted < BATCH) break;
    }
    if (total > 0) log.info({ sweep: name, deleted: total }, 'swept');
  };

  return createPeriodicWorker({
    name: 'sweeping',
    intervalMs,
    random,
    log,
    async run(signal) {
      for (const sweep of sweeps) {
        await runSweep(sweep, signal).catch((error: unknown) => {
          log.error({ sweep: sweep.name, ...whatFailed(error) }, 'sweep failed');
        });
      }
    },
  });
}
