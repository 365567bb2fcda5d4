import { type ClientHttp2Session, connect } from 'node:http2';
import { onTestFinished } from 'vitest';
import {
  type AuthRpcs,
  createHealth,
  type EdgeDeps,
  type GrpcServer,
  type GrpcServerOptions,
  openGrpcServer,
  registerAuthService,
} from '../../src/grpc/index.js';
import { collectLog, inertRpcs, newSeen, type Seen, toyDeps } from './toy-edge.js';

export interface EdgeServer extends GrpcServer {
  readonly seen: Seen;
  /** By name, as certificates have it. */
  readonly target: string;
}

/** A server on port 0 with toy use-cases, whose listener is what the test is about. */
export async function openEdge(
  options: Partial<GrpcServerOptions> = {},
  overrides: { rpcs?: Partial<AuthRpcs>; deps?: Partial<EdgeDeps> } = {},
): Promise<EdgeServer> {
  const seen = newSeen();
  const log = collectLog(seen);
  const rpcs = { ...inertRpcs(), ...overrides.rpcs };
  const server = await openGrpcServer({
    listenAddress: '127.0.0.1:0',
    services: [registerAuthService(rpcs, { ...toyDeps(seen, log), ...overrides.deps })],
    health: createHealth([]),
    drainMs: 2_000,
    callTimeoutMs: 5_000,
    log,
    ...options,
  });
  onTestFinished(() => server[Symbol.asyncDispose]());
  const target = server.address.replace(/^(127\.0\.0\.1|\[::1\])/, 'localhost');
  return Object.assign(server, { seen, target });
}

/** A client that knows HTTP/2 and nothing of gRPC's retries. */
export async function openRaw(
  address: string,
  options: Parameters<typeof connect>[1] = {},
): Promise<ClientHttp2Session> {
  const scheme = 'ca' in options ? 'https' : 'http';
  const session = connect(`${scheme}://${address}`, options);
  onTestFinished(() => session.destroy());
  session.on('error', () => undefined);
  await new Promise((resolve, reject) => {
    session.once('remoteSettings', resolve).once('close', () => reject(new Error('closed')));
  });
  return session;
}

/** One call without a message on an open session: its `grpc-status`, or what became of it. */
export function rawCall(
  session: ClientHttp2Session,
  method = 'countersign.v1.AuthService/SignIn',
  headers: Readonly<Record<string, string>> = {},
): Promise<string> {
  return new Promise((resolve) => {
    const stream = session.request({
      ':method': 'POST',
      ':path': `/${method}`,
      'content-type': 'application/grpc+proto',
      te: 'trailers',
      ...headers,
    });
    let status = 'no answer';
    const read = (headers: object) => {
      if ('grpc-status' in headers) status = String(headers['grpc-status']);
    };
    stream.on('response', read).on('trailers', read);
    stream.on('error', (error) => {
      status = error.message;
    });
    stream.on('close', () => resolve(status));
    stream.resume();
    stream.end(Buffer.alloc(5));
  });
}

/** Whether the session ends within the time, which is only there to end a test that fails. */
export function ended(session: ClientHttp2Session, ms = 3_000): Promise<boolean> {
  if (session.destroyed) return Promise.resolve(true);
  return new Promise((resolve) => {
    const timer = setTimeout(() => resolve(false), ms);
    session.once('close', () => {
      clearTimeout(timer);
      resolve(true);
    });
  });
}
