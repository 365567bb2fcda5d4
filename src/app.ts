import {
  edgeOf,
  type LimitsKind,
  listen,
  type Overrides,
  openSlices,
  openStores,
  rpcsOf,
  startWorkers,
} from './composition/index.js';
import { type Config, loadKeys, openTransports, readTlsFiles } from './config/index.js';
import { Lifetime } from './core/lifetime.js';
import type { Logger } from './core/logger.js';
import { createHealth } from './grpc/index.js';
import type { Metrics } from './metrics/index.js';

export interface App extends AsyncDisposable {
  /** `host:port` as bound. */
  readonly grpcAddress: string;
  readonly httpAddress: string;
  /** For the banner: what runs on what. */
  readonly database: string;
  readonly limits: LimitsKind;
  readonly keysMadeIn: string | undefined;
  /** Unique indexes behind sign-in that are not as they must be: nobody signs in by email or phone. */
  readonly missingIndexes: readonly string[];
  readonly metrics: Metrics;
}

/**
 * Puts the service together and starts it: the only place that knows every part. Whatever was opened
 * is closed again, in reverse order, when the app is disposed of or something fails on the way.
 */
export async function createApp(
  config: Config,
  log: Logger,
  overrides: Overrides = {},
): Promise<App> {
  const stack = new Lifetime(log);
  try {
    return await start(config, log, overrides, stack);
  } catch (error) {
    await stack[Symbol.asyncDispose]();
    throw error;
  }
}

async function start(
  config: Config,
  log: Logger,
  overrides: Overrides,
  stack: Lifetime,
): Promise<App> {
  const keys = await loadKeys(config);
  const tls = await readTlsFiles(config.tls);
  const transports = overrides.transports ?? openTransports(config);
  const stores = await openStores(config, log, overrides, keys, stack);
  const slices = await openSlices(config, stores, { keys, transports, ...overrides }, stack);
  const health = createHealth(['countersign.v1.AuthService']);
  // Opened before the servers, so that they are closed after them: whatever a run of theirs waits for,
  // health turns and calls are refused at once.
  startWorkers(
    stores.common,
    {
      outbox: slices.outbox,
      signing: {
        tokenKeys: keys.token,
        lifetimeSeconds: config.tokens.signingKeyLifetimeSeconds,
      },
      onAnswer: (answers) => health.setServing(answers),
    },
    stack,
  );
  const jwks = () => slices.signingKeys.jwks();
  const { scrape = (own) => own.text() } = overrides;
  const metrics = () => scrape(stores.metrics);
  stores.metrics.show({ serving: () => health.serving });
  const edge = edgeOf(config, stores, slices);
  const parts = { rpcs: rpcsOf(slices), edge, jwks, health, tls, metrics };
  const servers = await listen(config, log, parts, stack);
  stores.metrics.show(servers.figures);
  return {
    grpcAddress: servers.grpc,
    httpAddress: servers.http,
    database: stores.database.describe,
    limits: stores.throttles.kind,
    metrics: stores.metrics,
    keysMadeIn: keys.madeIn,
    missingIndexes: slices.handles.missing,
    [Symbol.asyncDispose]: () => stack[Symbol.asyncDispose](),
  };
}
