import { once } from 'node:events';
import { connect, createServer, type Socket } from 'node:net';
import * as h2 from '../attacks/frames.js';

/** What went over the connections of a relay. */
export interface Wire {
  connections: number;
  /** Calls whose headers a client has written. */
  calls: number;
  /** Connections that were told that the end is near, and every call still taken. */
  notices: number;
  /** Those that were told which call was the last. */
  lastWords: number;
  /** Calls that were written and not answered to their end. */
  readonly lost: string[];
}

export interface Relay {
  readonly address: string;
  readonly wire: Wire;
  /** Once every connection is over. */
  close(): Promise<void>;
}

/** In a notice: no call is refused yet. */
const EVERY_CALL = 0x7fffffff;

/**
 * Stands between clients and the server at `target` and reads along. Bytes are passed on as they come and
 * no faster than they are taken; where a side ends, the other is ended.
 */
export async function openRelay(target: string): Promise<Relay> {
  const wire: Wire = { connections: 0, calls: 0, notices: 0, lastWords: 0, lost: [] };
  const open = new Set<Promise<unknown>>();
  const [host = '', port = ''] = target.split(':');
  // What a client still writes after the server's end is read, too.
  const listener = createServer({ allowHalfOpen: true, noDelay: true }, (client) => {
    const server = connect({ port: Number(port), host, noDelay: true });
    const over = new Promise((resolve) => client.once('close', resolve));
    open.add(over);
    void over.then(() => open.delete(over));
    readAlong(client, server, wire);
    for (const side of [client, server]) side.on('error', () => undefined);
    client.pipe(server);
    server.pipe(client);
    client.once('close', () => server.destroy());
    server.once('close', () => {
      client.end();
      client.resume();
    });
  }).listen(0, '127.0.0.1');
  await once(listener, 'listening');
  const bound = listener.address();
  if (bound === null || typeof bound === 'string') throw new Error('no port');
  return {
    address: `127.0.0.1:${bound.port}`,
    wire,
    async close() {
      listener.close();
      await Promise.all(open);
    },
  };
}

function readAlong(client: Socket, server: Socket, wire: Wire): void {
  const unanswered = new Set<number>();
  let highest = 0;
  let last: number | undefined;
  const fromClient = frames((type, _, __, stream) => {
    // Trailers of a request would be a second one of the same stream.
    if (type !== h2.HEADERS || stream <= highest) return;
    highest = stream;
    wire.calls += 1;
    unanswered.add(stream);
  }, h2.PREFACE.length);
  const fromServer = frames((type, payload, flags, stream) => {
    const ends = type === h2.HEADERS || type === h2.DATA;
    if (ends && (flags & h2.END_STREAM) !== 0) unanswered.delete(stream);
    if (type !== h2.GOAWAY) return;
    const named = payload.readUInt32BE();
    if (named === EVERY_CALL) wire.notices += 1;
    else last = named;
  });
  wire.connections += 1;
  client.on('data', fromClient);
  server.on('data', fromServer);
  client.once('close', () => {
    if (last !== undefined) wire.lastWords += 1;
    if (last !== undefined && highest > last) wire.lost.push(`call ${highest} after ${last}`);
    for (const stream of unanswered) wire.lost.push(`no answer to ${stream} of ${highest}`);
  });
}

/** The frames of one direction, after what comes before the first. */
function frames(onFrame: h2.OnFrame, skip = 0): (bytes: Buffer) => void {
  const read = h2.frameReader(onFrame);
  let left = skip;
  return (bytes) => {
    const skipped = Math.min(left, bytes.length);
    left -= skipped;
    read(bytes.subarray(skipped));
  };
}
