import { type ServerWritableStream, status } from '@grpc/grpc-js';
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type HealthServer,
  HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../generated/grpc/health/v1/health.js';
import type { ServiceRegistration } from './auth-rpcs.js';
import { createStreamSlots } from './stream-slots.js';

/**
 * Watches at once; more are refused. One per load balancer or prober is plenty, and since they need no
 * key, neither one connection nor one address may shut out every prober.
 */
const WATCHES = { inAll: 1_024, perAddress: 256, perConnection: 8 };

type Watching = ServerWritableStream<HealthCheckRequest, HealthCheckResponse>;

/** The standard health service, for the whole (`''`) and for each service by name: all alike. */
export interface Health {
  readonly registration: ServiceRegistration;
  readonly serving: boolean;
  /** False while the database is away. Has no effect any more once drained. */
  setServing(serving: boolean): void;
  /** Not serving, for good; ends every watch, which would keep the server from closing. */
  drain(): void;
}

/**
 * Why not `grpc-health-check`: it keeps an entry for every name that anybody ever watched, and its
 * watches outlive a shutdown.
 */
export function createHealth(services: readonly string[]): Health {
  const known = new Set(['', ...services]);
  const watches = new Set<Watching>();
  const slots = createStreamSlots(WATCHES);
  let serving = true;
  let drained = false;

  const answerFor = (service: string): HealthCheckResponse => {
    if (!known.has(service)) return { status: ServingStatus.SERVICE_UNKNOWN };
    return { status: serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING };
  };
  /** Whoever reads nothing would have every change kept for it. */
  const dismiss = (watch: Watching): void => {
    watches.delete(watch);
    const code = status.RESOURCE_EXHAUSTED;
    watch.emit('error', { code, details: 'the statuses of this watch are not read' });
  };
  const set = (next: boolean): void => {
    if (serving === next) return;
    serving = next;
    for (const watch of watches) {
      if (!known.has(watch.request.service)) continue;
      if (watch.writableNeedDrain) dismiss(watch);
      else watch.write(answerFor(watch.request.service));
    }
  };

  const implementation: HealthServer = {
    check: (call, respond) => {
      const answer = answerFor(call.request.service);
      if (answer.status !== ServingStatus.SERVICE_UNKNOWN) respond(null, answer);
      else respond({ code: status.NOT_FOUND, details: 'no service of this name' });
    },
    watch: (call) => {
      const giveBack = drained ? undefined : slots.take(call.getPeer());
      if (giveBack === undefined) {
        const code = drained ? status.UNAVAILABLE : status.RESOURCE_EXHAUSTED;
        call.emit('error', { code, details: 'this server takes no further watches' });
        return;
      }
      watches.add(call);
      const forget = (): void => {
        watches.delete(call);
        giveBack();
      };
      call.on('close', forget);
      call.on('cancelled', forget);
      call.write(answerFor(call.request.service));
    },
    list: (_call, respond) => {
      const statuses = [...known].map((name) => [name, answerFor(name)] as const);
      respond(null, { statuses: Object.fromEntries(statuses) });
    },
  };

  return {
    registration: { definition: HealthService, implementation },
    get serving() {
      return serving;
    },
    setServing: (next) => {
      if (!drained) set(next);
    },
    drain: () => {
      if (drained) return;
      drained = true;
      set(false);
      for (const watch of watches) watch.end();
      watches.clear();
    },
  };
}
