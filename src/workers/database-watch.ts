import { sql } from 'kysely';
import type { Random } from '../core/ids.js';
import type { Logger } from '../core/logger.js';
import type { Db } from '../db/index.js';
import { createPeriodicWorker, type Worker } from './periodic-worker.js';

export interface DatabaseWatchDeps {
  readonly db: Db;
  readonly random: Random;
  readonly log: Logger;
  /** Told at each look whether the database answers. */
  onAnswer(answers: boolean): void;
  readonly intervalMs?: number;
}

/** Asks the database every two seconds whether it is there, for health and readiness. */
export function createDatabaseWatch({
  db,
  random,
  log,
  onAnswer,
  intervalMs = 2_000,
}: DatabaseWatchDeps): Worker {
  let answered = true;
  return createPeriodicWorker({
    name: 'database watch',
    intervalMs,
    random,
    log,
    async run() {
      const answers = await sql`select 1`.execute(db).then(
        () => true,
        () => false,
      );
      if (answers !== answered)
        log.warn({ answers }, answers ? 'the database is back' : 'the database is away');
      answered = answers;
      onAnswer(answers);
    },
  });
}
