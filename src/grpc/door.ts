import {
  constants,
  type IncomingHttpHeaders,
  type OutgoingHttpHeaders,
  type ServerHttp2Stream,
} from 'node:http2';
import type { Server } from '@grpc/grpc-js';
import type { Random } from '../core/ids.js';
import type { Logger } from '../core/logger.js';
import { REQUEST_ID_KEY, requestIdFrom } from './call-context.js';
import { closeIfAnswered } from './call-guard.js';
import { type EdgeObserver, observeRpc } from './call-observer.js';
import { takeStreams } from './library-internals.js';
import { type Failure, failureOf } from './status-details.js';

/** What a call that must be answered within so many milliseconds is refused with; undefined: it may come in. */
export type Door = (leftMs: number) => Error | undefined;

export interface DoorOptions {
  readonly random: Pick<Random, 'handle'>;
  readonly log: Logger;
  readonly observer?: EdgeObserver | undefined;
  /** The longest that a call may take. */
  readonly callTimeoutMs: number;
}

interface Kept {
  readonly method: string;
  readonly door: Door;
  readonly observe: ReturnType<typeof observeRpc>;
}

/**
 * Refuses calls on their headers, by path, before the gRPC library makes a call of them. Under a load that is many
 * times what can be hashed nearly every call ends here, and all that serves the others is what the refused
 * leave: so nothing of theirs is read, neither who calls nor what, and nothing is written but a count and
 * a line in the log (decision 0023).
 */
export function keepDoors(
  server: Server,
  doors: ReadonlyMap<string, Door>,
  options: DoorOptions,
): void {
  const { random, log, observer, callTimeoutMs } = options;
  const kept = new Map(
    [...doors].map(([method, door]): [string, Kept] => [
      `/${method}`,
      { method, door, observe: observeRpc(method, observer) },
    ]),
  );
  /** By what they say: the lane throws one and the same error at all of them. */
  const answers = new WeakMap<Error, Failure & { readonly headers: OutgoingHttpHeaders }>();

  takeStreams(server, (stream, headers) => {
    const found = kept.get(String(headers[':path']));
    const leftMs = found && timeLeft(headers, callTimeoutMs);
    if (found === undefined || leftMs === undefined) return false;
    const error = found.door(leftMs);
    if (error === undefined) return false;
    const startedAt = performance.now();
    const observed = found.observe((name) => only(headers, name));
    const answer = answers.get(error) ?? write(failureOf(error, random));
    answers.set(error, answer);
    const requestId = requestIdFrom(only(headers, REQUEST_ID_KEY));
    observed.run(() => respond(stream, { ...answer.headers, [REQUEST_ID_KEY]: requestId }));
    const { code, outcome } = answer;
    log.info({ method: found.method, outcome, requestId }, 'a call was refused');
    observed.ended({ code, outcome }, (performance.now() - startedAt) / 1_000);
    return true;
  });
}

const UNITS: Readonly<Record<string, number>> = {
  H: 3_600_000,
  M: 60_000,
  S: 1_000,
  m: 1,
  u: 1e-3,
  n: 1e-6,
};

/** Undefined: not a gRPC call, or one without time or with a deadline that is no duration: the library's to refuse. */
function timeLeft(headers: IncomingHttpHeaders, mostMs: number): number | undefined {
  if (headers['content-type']?.startsWith('application/grpc') !== true) return undefined;
  const given = headers['grpc-timeout'];
  if (given === undefined) return mostMs;
  const [, amount, unit = ''] = /^(\d{1,8})([HMSmun])$/.exec(String(given)) ?? [];
  const ms = Math.min(mostMs, Number(amount) * (UNITS[unit] ?? 0));
  return ms > 0 ? ms : undefined;
}

/** Node joins what stands there twice. */
function only(headers: IncomingHttpHeaders, name: string): string | undefined {
  const value = headers[name];
  return typeof value === 'string' && !value.includes(',') ? value : undefined;
}

/** What gRPC calls "Trailers-Only": an answer of headers alone. */
function write(failure: Failure): Failure & { readonly headers: OutgoingHttpHeaders } {
  const headers = {
    [constants.HTTP2_HEADER_STATUS]: constants.HTTP_STATUS_OK,
    [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc+proto',
    'grpc-status': failure.code,
    'grpc-message': encodeURI(failure.message),
    ...failure.metadata.toHttp2Headers(),
  };
  return { ...failure, headers };
}

function respond(stream: ServerHttp2Stream, headers: OutgoingHttpHeaders): void {
  // A client that leaves now is answered all the same, and that is its own affair.
  stream.on('error', () => {});
  // Unread, its request would go on filling the window of its connection.
  stream.resume();
  stream.respond(headers, { endStream: true });
  setImmediate(closeIfAnswered, stream);
}
