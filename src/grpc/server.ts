import { Server, ServerCredentials, setLogger } from '@grpc/grpc-js';
import { systemRandom } from '../core/ids.js';
import type { Logger } from '../core/logger.js';
import type { ServiceRegistration } from './auth-rpcs.js';
import { guardCalls } from './call-guard.js';
import type { Health } from './health.js';
import { serverOptions } from './limits.js';

/** PEM, as read from the files of the configuration. */
export interface TlsMaterial {
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** With it, every client must show a certificate that one of these issued. */
  readonly clientCa?: Buffer | undefined;
}

export interface GrpcServerOptions {
  /** `host:port`; `[::1]:0` for IPv6. Port 0 picks one. */
  readonly listenAddress: string;
  /** Absent: plaintext. */
  readonly tls?: TlsMaterial | undefined;
  readonly services: readonly ServiceRegistration[];
  readonly health: Health;
  /** How long calls under way may take to finish after a stop. */
  readonly drainMs: number;
  /** The longest that a unary call may take, the arrival of its request included. */
  readonly callTimeoutMs: number;
  readonly log: Logger;
}

export interface GrpcServer extends AsyncDisposable {
  /** `host:port`, with the port that was picked. */
  readonly address: string;
}

/**
 * Binds and serves. Disposing drains: health says so first, no call begins any more, those under way
 * get `drainMs`, and what is left then is cut off.
 */
export async function openGrpcServer(options: GrpcServerOptions): Promise<GrpcServer> {
  setLogger(silenced(options.log));
  const guard = guardCalls({ ...options, random: systemRandom });
  const server = new Server({ ...serverOptions, interceptors: [guard] });
  for (const { definition, implementation } of [...options.services, options.health.registration]) {
    server.addService(definition, implementation);
  }
  const port = await bind(server, options.listenAddress, credentials(options.tls));
  const address = options.listenAddress.replace(/:\d+$/, `:${port}`);
  let closing: Promise<void> | undefined;
  return {
    address,
    [Symbol.asyncDispose]: () => {
      closing ??= close(server, address, options);
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
    log.debug({ level }, 'the gRPC library had something to say, which is not logged');
  return { error: note('error'), info: note('info'), debug: note('debug') };
}

function bind(server: Server, address: string, secrets: ServerCredentials): Promise<number> {
  return new Promise((resolve, reject) => {
    server.bindAsync(address, secrets, (error, port) => {
      if (error === null) return resolve(port);
      server.forceShutdown();
      reject(new Error(`cannot listen on ${address}`, { cause: error }));
    });
  });
}

function credentials(tls: TlsMaterial | undefined): ServerCredentials {
  if (tls === undefined) return ServerCredentials.createInsecure();
  const pair = { private_key: tls.key, cert_chain: tls.certificate };
  return ServerCredentials.createSsl(tls.clientCa ?? null, [pair], tls.clientCa !== undefined);
}

async function close(
  server: Server,
  address: string,
  { health, drainMs, log }: GrpcServerOptions,
): Promise<void> {
  health.drain();
  // First, while it still knows every connection: it says goodbye to each, and cuts off after
  // `drainMs` what is left. `forceShutdown` ends no connection while channelz is off (grpc-js 1.14).
  server.drain(address, drainMs);
  const warning = setTimeout(() => {
    log.warn({ drainMs }, 'calls were still under way at the end of the drain, and were cut off');
  }, drainMs);
  await new Promise<void>((resolve) => {
    server.tryShutdown((error) => {
      if (error !== undefined) log.warn({ err: error }, 'the server did not close cleanly');
      resolve();
    });
  });
  clearTimeout(warning);
}
