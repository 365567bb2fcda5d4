import type { Logger } from '../core/logger.js';
import type { TlsMaterial, TlsTerminator } from './tls-terminator.js';

export interface TlsReloadOptions {
  readonly current: TlsMaterial;
  readonly terminator: TlsTerminator;
  /** Reads all files together; rejects where they do not fit, as at the start. */
  read(): Promise<TlsMaterial | undefined>;
  readonly everyMs: number;
  readonly log: Logger;
}

/**
 * Picks up new certificates. The files are read at intervals, and not watched: a watch does not survive
 * what certificate managers and Kubernetes do (links that are swapped, files that are replaced), and
 * three small files cost nothing. What does not fit leaves everything as it is, and is said once, at the
 * second reading: files that are replaced one after the other do not fit for a moment.
 */
export function reloadTls({ terminator, read, everyMs, log, ...options }: TlsReloadOptions): {
  stop(): void;
} {
  let { current } = options;
  let fault: string | undefined;
  let readings = 0;
  let reading = false;

  const look = async (): Promise<void> => {
    try {
      const next = await read();
      if (next !== undefined && !same(next, current)) {
        terminator.use(next);
        current = next;
        log.info({ expiresAt: terminator.expiresAt }, 'new TLS files are in use');
      }
      fault = undefined;
    } catch (error) {
      const said = String(error);
      readings = said === fault ? readings + 1 : 1;
      fault = said;
      if (readings === 2) {
        log.error({ err: error }, 'the TLS files do not fit; the last good ones stay in use');
      }
    }
  };
  const timer = setInterval(() => {
    if (reading) return;
    reading = true;
    void look().finally(() => {
      reading = false;
    });
  }, everyMs);
  timer.unref();
  return { stop: () => clearInterval(timer) };
}

function same(one: TlsMaterial, other: TlsMaterial): boolean {
  return (
    one.certificate.equals(other.certificate) &&
    one.key.equals(other.key) &&
    (one.clientCa ?? NONE).equals(other.clientCa ?? NONE)
  );
}

const NONE = Buffer.alloc(0);
