import { lookup } from 'node:dns/promises';
import { createServer, type Server, type Socket } from 'node:net';

export interface Listener {
  /** `host:port`, with the port that was picked. */
  readonly address: string;
  /** Takes no further connections, and leaves those there are alone. */
  stop(): void;
}

/** What a machine without IPv6 (or IPv4) says to an address of it. */
const NO_SUCH_FAMILY = new Set(['EADDRNOTAVAIL', 'EAFNOSUPPORT']);

/**
 * Listens on every address that the host has, since `localhost` is two and a client may try either.
 * The first one picks the port. Sockets are handed on as they come, and so is what goes wrong with accepting them later.
 */
export async function openListener(
  address: string,
  onConnection: (socket: Socket) => void,
  onError: (error: Error) => void,
): Promise<Listener> {
  const colon = address.lastIndexOf(':');
  const host = address.slice(0, colon).replace(/^\[|\]$/g, '');
  let port = Number(address.slice(colon + 1));
  const servers: Server[] = [];
  const stop = (): void => {
    for (const server of servers) server.close();
  };
  let absent: unknown;
  try {
    const found = await lookup(host, { all: true });
    for (const one of new Set(found.map((entry) => entry.address))) {
      try {
        const server = await listen(one, port, onConnection);
        // None that is left unheard may end the process: there may be no file descriptor to accept with.
        server.on('error', onError);
        servers.push(server);
        port = portOf(server);
      } catch (error) {
        if (!NO_SUCH_FAMILY.has(String(codeOf(error)))) throw error;
        absent = error;
      }
    }
    if (servers.length === 0) throw absent;
  } catch (error) {
    stop();
    throw new Error(`cannot listen on ${address}`, { cause: error });
  }
  return { address: `${address.slice(0, colon)}:${port}`, stop };
}

function listen(
  host: string,
  port: number,
  onConnection: (socket: Socket) => void,
): Promise<Server> {
  return new Promise((resolve, reject) => {
    const server = createServer({ noDelay: true }, onConnection);
    server.once('error', reject);
    server.listen({ host, port }, () => {
      server.removeListener('error', reject);
      resolve(server);
    });
  });
}

function portOf(server: Server): number {
  const bound = server.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  return bound.port;
}

function codeOf(error: unknown): unknown {
  return error instanceof Error && 'code' in error ? error.code : undefined;
}
