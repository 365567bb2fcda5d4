import { EventEmitter } from 'node:events';
import type { IncomingHttpHeaders, ServerHttp2Session, ServerHttp2Stream } from 'node:http2';
import type { Server, ServerInterceptingCallInterface } from '@grpc/grpc-js';

/**
 * Where grpc-js offers no door: what is done here, it does before any interceptor runs, or not at all.
 * Nobody else reaches into it. Its version is pinned; where a release keeps these things elsewhere, what
 * concerns the server fails at the start, and what concerns a call at the first one.
 */

/**
 * Tells every HTTP/2 session of a server that has one injector: its own goodbye drops a call that was
 * written a moment before, and counting calls per connection needs the session, too.
 */
export function onSession(server: Server, listener: (session: ServerHttp2Session) => void): void {
  http2Of(server).on('session', listener);
}

/** Shows every stream to `take` on its headers; what it takes, the library never sees. */
export function takeStreams(
  server: Server,
  take: (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => boolean,
): void {
  const http2 = http2Of(server);
  const [serve, ...others] = http2.listeners('stream');
  if (serve === undefined || others.length > 0) {
    throw new Error('this release of grpc-js does not listen to streams once');
  }
  http2.removeAllListeners('stream');
  http2.on('stream', (stream: ServerHttp2Stream, headers: IncomingHttpHeaders) => {
    if (!take(stream, headers)) Reflect.apply(serve, http2, [stream, headers]);
  });
}

/** Of a server that has one injector. */
function http2Of(server: Server): EventEmitter {
  const [http2, ...others] = member(server, 'http2Servers', isMap).keys();
  if (!(http2 instanceof EventEmitter) || others.length > 0) {
    throw new Error('this release of grpc-js does not have one HTTP/2 server in http2Servers');
  }
  return http2;
}

/** Serves every path without a handler of its own by the method at `path`. */
export function serveUnknownMethodsBy(server: Server, path: string): void {
  const find = member(server, '_retrieveHandler', isFunction);
  Reflect.set(server, '_retrieveHandler', (asked: string): unknown => {
    return find.call(server, asked) ?? find.call(server, path);
  });
}

/**
 * Shows a call's messages to `check` when they are cut out of a piece of the request, before the first
 * is decompressed or read. What it throws refuses the call.
 */
export function checkMessages(
  call: ServerInterceptingCallInterface,
  check: (messages: readonly Buffer[]) => void,
): void {
  const decoder = member(call, 'decoder', isObject);
  const cut = member(decoder, 'write', isFunction);
  Reflect.set(decoder, 'write', (bytes: Buffer): unknown => {
    const messages = cut.call(decoder, bytes) as readonly Buffer[];
    check(messages);
    return messages;
  });
}

/** Whether the sender has compressed a message: the flag before its length. */
export function isCompressed(message: Buffer): boolean {
  return message[0] === 1;
}

export function streamOf(call: ServerInterceptingCallInterface): ServerHttp2Stream {
  return member(call, 'stream', isObject) as ServerHttp2Stream;
}

function member<T>(owner: object, name: string, is: (value: unknown) => value is T): T {
  const value: unknown = Reflect.get(owner, name);
  if (!is(value)) throw new Error(`this release of grpc-js has no ${name} where it was`);
  return value;
}

type AnyFunction = (this: object, ...args: readonly unknown[]) => unknown;

function isFunction(value: unknown): value is AnyFunction {
  return typeof value === 'function';
}

function isMap(value: unknown): value is ReadonlyMap<unknown, unknown> {
  return value instanceof Map;
}

function isObject(value: unknown): value is object {
  return typeof value === 'object' && value !== null;
}
