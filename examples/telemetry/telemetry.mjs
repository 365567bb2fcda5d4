/**
 * Loaded before Countersign by `NODE_OPTIONS=--import`. The SDK reads its own settings (`OTEL_…`) from the
 * environment: which exporter, which sampler, which name.
 *
 * No signal is listened to: Countersign drains by itself, and a signal that comes while it starts must
 * still end the process. So the spans of the last moment are lost; `OTEL_BSP_SCHEDULE_DELAY` says how
 * long that is.
 */
import { isMainThread } from 'node:worker_threads';

// Threads that hash passwords are started with the same options, and record nothing.
if (isMainThread) {
  const { NodeSDK } = await import('@opentelemetry/sdk-node');
  new NodeSDK().start();
}
