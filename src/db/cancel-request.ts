import { connect, isIP, type Socket } from 'node:net';
import { type ConnectionOptions, connect as connectTls } from 'node:tls';

/** Where a server process answers, and what proves that one may interrupt it. */
export interface CancelTarget {
  readonly host: string;
  readonly port: number;
  readonly processId: number;
  readonly secretKey: number;
  /** TLS settings of the connection to be interrupted; undefined: it is plain. */
  readonly tls: ConnectionOptions | undefined;
}

const CANCEL_REQUEST = 80877102;
const TLS_REQUEST = 80877103;

/**
 * Sends PostgreSQL's cancel request and waits until the server (or the pooler before it) closes the
 * connection. Only then has the signal been delivered, and only then can it no longer hit the next
 * statement of the same connection. Rejects when that does not happen within `timeoutMs`.
 */
export function requestCancel(target: CancelTarget, timeoutMs: number): Promise<void> {
  return new Promise((resolve, reject) => {
    const socket = target.host.startsWith('/')
      ? connect(`${target.host}/.s.PGSQL.${target.port}`)
      : connect(target.port, target.host);
    const timer = setTimeout(
      () => socket.destroy(new Error('the cancel request was not answered in time')),
      timeoutMs,
    );
    socket.once('error', reject);
    socket.once('close', () => {
      clearTimeout(timer);
      resolve();
    });
    socket.once('connect', () => {
      if (target.tls === undefined) send(socket, target);
      else sendOverTls(socket, target, target.tls);
    });
  });
}

function send(socket: Socket, target: CancelTarget): void {
  const message = Buffer.alloc(16);
  message.writeInt32BE(16, 0);
  message.writeInt32BE(CANCEL_REQUEST, 4);
  message.writeInt32BE(target.processId, 8);
  message.writeInt32BE(target.secretKey, 12);
  socket.write(message);
  // Without a reader the socket would never notice that the server has closed it.
  socket.resume();
}

function sendOverTls(socket: Socket, target: CancelTarget, options: ConnectionOptions): void {
  const request = Buffer.alloc(8);
  request.writeInt32BE(8, 0);
  request.writeInt32BE(TLS_REQUEST, 4);
  socket.write(request);
  socket.once('data', (answer) => {
    if (answer.toString('latin1') !== 'S') {
      socket.destroy(new Error('the server refuses TLS for a cancel request'));
      return;
    }
    const { host } = target;
    const asConnected = {
      ...options,
      socket,
      host,
      // As pg does: it hides the key from enumeration, and gives the name to servers behind a router.
      ...(options.key === undefined ? {} : { key: options.key }),
      ...(isIP(host) === 0 ? { servername: host } : {}),
    };
    const secure = connectTls(asConnected, () => send(secure, target));
    secure.once('error', (error) => socket.destroy(error));
    secure.once('close', () => socket.destroy());
  });
}
