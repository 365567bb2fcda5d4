import type { Socket } from 'node:net';
import { setTimeout as after } from 'node:timers/promises';
import type { TLSSocket } from 'node:tls';
import { Server, ServerCredentials, setLogger } from '@grpc/grpc-js';
import { systemRandom } from '../core/ids.js';
import type { Logger } from '../core/logger.js';
import type { ServiceRegistration } from './auth-rpcs.js';
import { guardCalls } from './call-guard.js';
import type { EdgeObserver } from './call-observer.js';
import { Connections } from './connections.js';
import { keepDoors } from './door.js';
import type { Health } from './health.js';
import { onSession } from './library-internals.js';
import { type ConnectionLimits, connectionLimits, serverOptions } from './limits.js';
import { type Listener, openListener } from './listener.js';
import { reloadTls } from './tls-reload.js';
import { type TlsMaterial, type TlsTerminator, terminateTls } from './tls-terminator.js';
import { refuseUnknownMethods } from './unknown-methods.js';

export interface GrpcServerOptions {
  /** `host:port`; `[::1]:0` for IPv6. Port 0 picks one. */
  readonly listenAddress: string;
  /** Absent: plaintext. */
  readonly tls?: TlsMaterial | undefined;
  /** Reads the files of TLS anew, all together; rejects where they do not fit. Absent: they stay. */
  readonly readTls?: (() => Promise<TlsMaterial | undefined>) | undefined;
  /** How often they are read. */
  readonly tlsPollMs?: number;
  readonly connections?: Partial<ConnectionLimits>;
  readonly services: readonly ServiceRegistration[];
  readonly health: Health;
  /** How long everything is still served after a stop, while health says no already. */
  readonly drainNoticeMs?: number;
  /** How long calls under way may take to finish after that. */
  readonly drainMs: number;
  /** The longest that a unary call may take, the arrival of its request included. */
  readonly callTimeoutMs: number;
  readonly log: Logger;
  /** For the metrics. */
  readonly observer?: EdgeObserver | undefined;
}

export interface GrpcServer extends AsyncDisposable {
  /** `host:port`, with the port that was picked. */
  readonly address: string;
  /** Open now, those that are in the middle of a handshake included. */
  readonly connections: number;
  /** The end of the certificate in use; undefined in plaintext. */
  readonly certificateExpiresAt: Date | undefined;
}

const TLS_POLL_MS = 10_000;

/**
 * Binds and serves. Connections are taken, counted and decrypted here, and the gRPC library is handed
 * what speaks HTTP/2. Disposing drains: health says so first, then nobody connects any more and
 * each connection is told goodbye, calls under way get `drainMs`, and what is left then is cut off.
 */
export async function openGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  setLogger(silenced(options.log));
  const guard = guardCalls({ ...options, random: systemRandom });
  const server = new Server({ ...serverOptions, interceptors: [guard] });
  for (const { definition, implementation } of [...options.services, options.health.registration]) {
    server.addService(definition, implementation);
  }
  refuseUnknownMethods(server);
  const connections = new Connections(
    { ...connectionLimits, ...options.connections },
    systemRandom,
  );
  const injector = server.createConnectionInjector(ServerCredentials.createInsecure());
  onSession(server, (session) => connections.attach(session));
  const doors = new Map(options.services.flatMap(({ doors: kept = [] }) => [...kept]));
  keepDoors(server, doors, { ...options, random: systemRandom });
  const tls =
    options.tls && terminate(options.tls, options, (socket) => injector.injectConnection(socket));
  const accept = (socket: Socket): void => {
    if (!connections.admit(socket)) return;
    if (tls === undefined) injector.injectConnection(socket);
    else tls.terminator.accept(socket);
  };
  const listener = await openListener(options.listenAddress, accept, (error) => {
    options.log.error({ err: error }, 'a connection could not be accepted');
  });
  let closing: Promise<void> | undefined;
  return {
    address: listener.address,
    get connections() {
      return connections.count;
    },
    get certificateExpiresAt() {
      return tls?.terminator.expiresAt;
    },
    [Symbol.asyncDispose]: () => {
      closing ??= close({ server, listener, connections, tls }, options);
      return closing;
    },
  };
}

/**
 * grpc-js writes to standard error by itself, also text that a stranger chose: a header it cannot use
 * (rule 22). What it has to say about a call is in the call's status, so no word of it is kept.
 */
function silenced(log: Logger): Parameters<typeof setLogger>[0] {
  const note = (level: string) => () =>
    log.debug({ severity: level }, 'the gRPC library had something to say, which is not logged');
  return { error: note('error'), info: note('info'), debug: note('debug') };
}

interface Tls {
  readonly terminator: TlsTerminator;
  readonly reload: { stop(): void } | undefined;
}

function terminate(
  material: TlsMaterial,
  { readTls, tlsPollMs, connections, log }: GrpcServerOptions,
  onSecure: (socket: TLSSocket) => void,
): Tls {
  const handshakeMs = connections?.arrivalMs ?? connectionLimits.arrivalMs;
  const terminator = terminateTls({ material, handshakeMs, log, onSecure });
  if (readTls === undefined) return { terminator, reload: undefined };
  const everyMs = tlsPollMs ?? TLS_POLL_MS;
  return {
    terminator,
    reload: reloadTls({ current: material, terminator, read: readTls, everyMs, log }),
  };
}

async function close(
  {
    server,
    listener,
    connections,
    tls,
  }: { server: Server; listener: Listener; connections: Connections; tls: Tls | undefined },
  { health, drainNoticeMs = 0, drainMs, log }: GrpcServerOptions,
): Promise<void> {
  health.drain();
  if (drainNoticeMs > 0) await after(drainNoticeMs);
  tls?.reload?.stop();
  listener.stop();
  const cut = await connections.drain(drainMs);
  if (cut > 0) {
    log.warn(
      { drainMs, calls: cut },
      'calls were still under way at the end of the drain, and were cut off',
    );
  }
  server.forceShutdown();
}
