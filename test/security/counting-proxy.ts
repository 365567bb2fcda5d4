import type { AddressInfo } from 'node:net';
import { connect, createServer, type Socket } from 'node:net';

/** A TCP proxy that tells how often a client waited for its server. */
export interface CountingProxy extends AsyncDisposable {
  readonly port: number;
  /** Round trips since the last `reset`, each by what was asked in it. */
  trips(): readonly string[];
  reset(): void;
}

/** Reads what one connection's client sends; returns the trips that begin with it. */
type Reader = (chunk: Buffer) => readonly string[];
interface Protocol {
  /** For a new connection. */
  open(): { readonly asked: Reader; readonly answered: () => void };
}

async function startProxy(
  target: { host: string; port: number },
  protocol: Protocol,
): Promise<CountingProxy> {
  const sockets = new Set<Socket>();
  let seen: string[] = [];
  const server = createServer((client) => {
    const upstream = connect(target.port, target.host);
    const reader = protocol.open();
    for (const [from, to] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      sockets.add(from);
      from.setNoDelay(true);
      from.on('data', (chunk) => {
        if (from === client) seen.push(...reader.asked(chunk));
        else reader.answered();
        to.write(chunk);
      });
      from.on('close', () => {
        sockets.delete(from);
        to.destroy();
      });
      from.on('error', () => to.destroy());
    }
  });
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
  return {
    port: (server.address() as AddressInfo).port,
    trips: () => seen,
    reset: () => {
      seen = [];
    },
    [Symbol.asyncDispose]: async () => {
      for (const socket of sockets) socket.destroy();
      await new Promise((resolve) => server.close(resolve));
    },
  };
}

/** PostgreSQL: a trip ends with Sync or is a simple query; it is named by its statement's text. */
export function postgresProxy(url: string): Promise<CountingProxy> {
  return startProxy(addressOf(url, 5432), {
    open: () => {
      let rest = Buffer.alloc(0);
      let started = false;
      let statement = '';
      const texts = new Map<string, string>();
      const asked: Reader = (chunk) => {
        rest = Buffer.concat([rest, chunk]);
        const trips: string[] = [];
        for (;;) {
          const head = started ? 1 : 0;
          if (rest.length < head + 4) return trips;
          const end = head + rest.readUInt32BE(head);
          if (rest.length < end) return trips;
          const type = started ? String.fromCharCode(rest[0] ?? 0) : 'startup';
          const [first = '', second = ''] = rest
            .subarray(head + 4, end)
            .toString('latin1')
            .split('\0');
          rest = rest.subarray(end);
          started = true;
          if (type === 'P') {
            texts.set(first, second);
            statement = second;
          }
          if (type === 'B') statement = texts.get(second) ?? '';
          if (type === 'Q') trips.push(first);
          if (type === 'S') trips.push(statement);
        }
      };
      return { asked, answered: () => undefined };
    },
  });
}

/** Redis: commands written before any answer came are one trip. */
export function redisProxy(url: string): Promise<CountingProxy> {
  return startProxy(addressOf(url, 6379), {
    open: () => {
      let waiting = false;
      return {
        asked: (chunk) => {
          if (waiting) return [];
          waiting = true;
          return [chunk.toString('latin1').split('\r\n')[2] ?? ''];
        },
        answered: () => {
          waiting = false;
        },
      };
    },
  });
}

function addressOf(url: string, defaultPort: number): { host: string; port: number } {
  const { hostname, port } = new URL(url);
  return { host: hostname, port: port === '' ? defaultPort : Number(port) };
}

/** The same URL, by way of the proxy. */
export function through(url: string, { port }: CountingProxy): string {
  const changed = new URL(url);
  changed.hostname = '127.0.0.1';
  changed.port = String(port);
  return changed.href;
}
