import type { Logger } from '../core/logger.js';
import { type SigningKeyDeps, stepSigningKeys } from '../sessions/index.js';
import { createPeriodicWorker, type Worker } from './periodic-worker.js';

export interface KeyRotationWorkerDeps extends SigningKeyDeps {
  /** SIGNING_KEY_LIFETIME. */
  readonly lifetimeSeconds: number;
  readonly log: Logger;
  readonly intervalMs?: number;
}

/**
 * Looks once a minute whether a signing key has to be published, retired or sealed anew. Mostly that
 * is two reads of a table of a few rows.
 */
export function createKeyRotationWorker(deps: KeyRotationWorkerDeps): Worker {
  const { random, log, intervalMs = 60_000 } = deps;
  return createPeriodicWorker({
    name: 'key rotation',
    intervalMs,
    random,
    log,
    async run() {
      const { published, retired, resealed } = await stepSigningKeys(deps);
      if (published !== undefined) log.info({ kid: published }, 'signing key published');
      for (const kid of retired) log.info({ kid }, 'signing key retired');
      for (const kid of resealed) log.info({ kid }, 'signing key sealed anew');
    },
  });
}
