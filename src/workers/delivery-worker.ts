import type { Random } from '../core/ids.js';
import type { Logger } from '../core/logger.js';
import type { Outbox } from '../delivery/index.js';
import { createPeriodicWorker, type Worker } from './periodic-worker.js';

export interface DeliveryWorkerDeps {
  readonly outbox: Pick<Outbox, 'recover' | 'expire' | 'measure'>;
  readonly random: Random;
  readonly log: Logger;
  readonly intervalMs?: number;
}

/**
 * Recovers messages whose lease has run out (their process died, or had no room) and those whose
 * pause after a failure is over, scrubs expired ones, and measures how long messages wait. Polling alone: a NOTIFY inside the issuing
 * transaction costs it two thirds of its throughput, and the usual message is sent from memory.
 */
export function createDeliveryWorker({
  outbox,
  random,
  log,
  intervalMs = 1_000,
}: DeliveryWorkerDeps): Worker {
  return createPeriodicWorker({
    name: 'delivery',
    intervalMs,
    random,
    log,
    async run(signal) {
      await repeat(signal, () => outbox.expire());
      await repeat(signal, () => outbox.recover());
      await outbox.measure();
    },
  });
}

/** A run has an end, whatever flows in meanwhile: the rest is for the next one. */
const ROUNDS = 20;

async function repeat(signal: AbortSignal, work: () => Promise<number>): Promise<void> {
  for (let round = 0; round < ROUNDS && !signal.aborted; round += 1) {
    if ((await work()) === 0) return;
  }
}
