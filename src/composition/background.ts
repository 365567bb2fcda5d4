import type { KeyRing } from '../core/keys.js';
import type { Lifetime } from '../core/lifetime.js';
import {
  createDatabaseWatch,
  createDeliveryWorker,
  createKeyRotationWorker,
  createSweepingWorker,
  createSweeps,
} from '../workers/index.js';
import type { Common } from './overrides.js';

/** In every process: whatever they do is safe with any number of them. */
export function startWorkers(
  common: Common,
  parts: {
    outbox: Parameters<typeof createDeliveryWorker>[0]['outbox'];
    signing: { tokenKeys: KeyRing; lifetimeSeconds: number };
    onAnswer(answers: boolean): void;
  },
  stack: Lifetime,
): void {
  const workers = [
    createDeliveryWorker({ ...common, outbox: parts.outbox }),
    createSweepingWorker({ ...common, sweeps: createSweeps(common.log) }),
    createKeyRotationWorker({ ...common, ...parts.signing }),
    createDatabaseWatch({ ...common, onAnswer: parts.onAnswer }),
  ];
  for (const worker of workers) stack.use(worker).start();
}
