/**
 * Unary gRPC calls over bare HTTP/2. A library client costs more than a refused call costs the server;
 * a generator that shares its cores with the server must not be what gives in first.
 */
import { type ClientHttp2Session, type ClientHttp2Stream, connect } from 'node:http2';
import type { MessageFns } from '../../generated/countersign/v1/auth_service.js';

type Headers = Readonly<Record<string, string>>;

export interface Wire extends Disposable {
  /** Answers whatever the status; `message` is empty unless it is OK. */
  call(path: string, request: Buffer, headers?: Headers): Promise<WireAnswer>;
}

export interface WireAnswer {
  /** A gRPC status code; 14 where the connection broke. */
  readonly status: number;
  readonly message: Buffer;
}

/** Connections in turns: a server bounds the calls under way on each. */
export function openWire(address: string, connections: number, metadata: Headers): Wire {
  const sessions = Array.from({ length: connections }, () => {
    const session = connect(`http://${address}`);
    // What becomes of it is seen in its calls.
    session.on('error', () => {});
    return session;
  });
  const shared = {
    ':method': 'POST',
    'content-type': 'application/grpc',
    te: 'trailers',
    ...metadata,
  };
  let turn = 0;
  return {
    call: (path, request, headers = {}) => {
      turn = (turn + 1) % sessions.length;
      const session = sessions[turn] as ClientHttp2Session;
      const stream = session.request({ ...shared, ...headers, ':path': path });
      stream.end(framed(request));
      return answerOf(stream);
    },
    [Symbol.dispose]: () => {
      for (const session of sessions) session.destroy();
    },
  };
}

function framed(message: Buffer): Buffer {
  const frame = Buffer.allocUnsafe(5 + message.length);
  frame.writeUInt8(0, 0);
  frame.writeUInt32BE(message.length, 1);
  message.copy(frame, 5);
  return frame;
}

function answerOf(stream: ClientHttp2Stream): Promise<WireAnswer> {
  return new Promise((resolve) => {
    const parts: Buffer[] = [];
    let status = 14;
    const read = (headers: Readonly<Record<string, unknown>>): void => {
      const sent = headers['grpc-status'];
      if (sent !== undefined) status = Number(sent);
    };
    // A failure comes in the first and only headers, a success in the trailers.
    stream.on('response', read);
    stream.on('trailers', read);
    stream.on('data', (part: Buffer) => void parts.push(part));
    stream.on('error', () => {});
    stream.on('close', () => resolve({ status, message: Buffer.concat(parts).subarray(5) }));
  });
}

export function encoded<T>(type: MessageFns<T, string>, message: T): Buffer {
  return Buffer.from(type.encode(message).finish());
}
