import { type ServerWritableStream, status } from '@grpc/grpc-js';
import {
  type HealthCheckRequest,
  type HealthCheckResponse,
  type HealthServer,
  HealthService,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../generated/grpc/health/v1/health.js';
import type { ServiceRegistration } from './auth-rpcs.js';

/** Watches at once; more are refused. One per load balancer or prober is plenty. */
const MAX_WATCHES = 256;
/** Of one connection, so that a single one, which needs no key, does not shut out every prober. */
const MAX_WATCHES_PER_CONNECTION = 8;

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
  /** Each with its connection, which a watch that has ended cannot name any more. */
  const watches = new Map<Watching, string>();
  let serving = true;
  let drained = false;

  const answerFor = (service: string): HealthCheckResponse => {
    if (!known.has(service)) return { status: ServingStatus.SERVICE_UNKNOWN };
    return { status: serving ? ServingStatus.SERVING : ServingStatus.NOT_SERVING };
  };
  const set = (next: boolean): void => {
    if (serving === next) return;
    serving = next;
    for (const watch of watches.keys()) {
      if (known.has(watch.request.service)) watch.write(answerFor(watch.request.service));
    }
  };

  const implementation: HealthServer = {
    check: (call, respond) => {
      const answer = answerFor(call.request.service);
      if (answer.status !== ServingStatus.SERVICE_UNKNOWN) respond(null, answer);
      else respond({ code: status.NOT_FOUND, details: 'no service of this name' });
    },
    watch: (call) => {
      // Address and port: while they are open, no two connections share them.
      const connection = call.getPeer();
      const own = [...watches.values()].filter((other) => other === connection).length;
      if (drained || watches.size >= MAX_WATCHES || own >= MAX_WATCHES_PER_CONNECTION) {
        const code = drained ? status.UNAVAILABLE : status.RESOURCE_EXHAUSTED;
        call.emit('error', { code, details: 'this server takes no further watches' });
        return;
      }
      watches.set(call, connection);
      call.on('close', () => watches.delete(call));
      call.on('cancelled', () => watches.delete(call));
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
      for (const watch of watches.keys()) watch.end();
      watches.clear();
    },
  };
}
