import { constants, type ServerHttp2Stream } from 'node:http2';
import {
  type Metadata,
  ServerInterceptingCall,
  type ServerInterceptingCallInterface,
  type ServerInterceptor,
  type ServerListener,
  ServerListenerBuilder,
  status,
} from '@grpc/grpc-js';
import { fieldInvalid } from '../core/errors.js';
import type { Random } from '../core/ids.js';
import type { Logger } from '../core/logger.js';
import { REQUEST_ID_KEY, requestIdOf } from './call-context.js';
import type { EdgeObserver } from './call-observer.js';
import { asMs, CallEndedError } from './deadline.js';
import { checkMessages, isCompressed, streamOf } from './library-internals.js';
import { MAX_COMPRESSED_AT_ONCE, MAX_METADATA_BYTES, MAX_REQUEST_BYTES } from './limits.js';
import { bareFailure, type Failure, failureOf, hasDetails } from './status-details.js';

/** A status on its way out; grpc-js does not export its name. */
type Told = Parameters<ServerInterceptingCallInterface['sendStatus']>[0];

export interface CallGuardOptions {
  /** From the first header to the last byte of the request, and for the whole of a unary call. */
  readonly callTimeoutMs: number;
  readonly random: Pick<Random, 'handle'>;
  readonly log: Logger;
  /** For the metrics. */
  readonly observer?: Pick<EdgeObserver, 'refused'> | undefined;
}

/**
 * Stands before every handler, for what grpc-js does by itself. A handler is called once its request
 * is there in full; until then nothing of ours runs, so that a caller who never ends its request
 * would hold the call for ever (rule 20). And what grpc-js refuses by itself, it refuses in words of
 * its own that quote the caller, without the details that every failure of the contract carries.
 *
 * Streams of requests (reflection) end themselves, and must not be counted as one request here. What
 * a watch of health lasts after its request is bounded by the age of its connection.
 */
export function guardCalls(options: CallGuardOptions): ServerInterceptor {
  return (method, call) => {
    const guarded = answerInOurWords(method.path.slice(1), call, options);
    closeWithAnswer(streamOf(call));
    checkMessages(call, method.requestStream ? fewCompressed() : oneMessage());
    if (method.requestStream) return new ServerInterceptingCall(call, guarded.responder());
    const endsAtMs = Math.min(asMs(call.getDeadline()), Date.now() + options.callTimeoutMs);
    // Without this, a handler would count its time from the end of the request.
    if (!method.responseStream) call.getDeadline = () => endsAtMs;
    const timer = setTimeout(
      () => guarded.refuse(new CallEndedError('deadline')),
      endsAtMs - Date.now(),
    );
    return new ServerInterceptingCall(
      call,
      guarded.responder(onlyRequest(guarded.refuse, () => clearTimeout(timer))),
    );
  };
}

/**
 * Ends the stream together with the call. A client that never ended its request would keep it open,
 * and so a place among the streams of its connection, and the connection itself.
 */
function closeWithAnswer(stream: ServerHttp2Stream): void {
  // Whichever comes last; an earlier reset would overtake the answer.
  stream.once('finish', () => setImmediate(closeIfAnswered, stream));
  stream.once('wantTrailers', () => setImmediate(closeIfAnswered, stream));
}

/** In a turn of its own, after the answer was written. */
export function closeIfAnswered(stream: ServerHttp2Stream): void {
  const { NGHTTP2_STREAM_STATE_HALF_CLOSED_LOCAL: answered, NGHTTP2_NO_ERROR } = constants;
  if (!stream.destroyed && stream.state.state === answered) stream.close(NGHTTP2_NO_ERROR);
}

const TWO_MESSAGES = 'must be one message';
const MANY_COMPRESSED = `must bring at most ${MAX_COMPRESSED_AT_ONCE} compressed messages at once`;

/** grpc-js would decompress and read all that follow as well, thousands in a piece of 16 KiB. */
function oneMessage(): (messages: readonly Buffer[]) => void {
  let seen = 0;
  return (messages) => {
    seen += messages.length;
    if (seen > 1) throw new Error(TWO_MESSAGES);
  };
}

/** grpc-js decompresses all that a piece brings at once, each with buffers of its own. */
function fewCompressed(): (messages: readonly Buffer[]) => void {
  return (messages) => {
    const compressed = messages.filter(isCompressed).length;
    if (compressed > MAX_COMPRESSED_AT_ONCE) throw new Error(MANY_COMPRESSED);
  };
}

/** Lets a request pass to its handler when it is a whole message; says when it has ended. */
function onlyRequest(refuse: (error: unknown) => void, ended: () => void): ServerListener {
  let messages = 0;
  return new ServerListenerBuilder()
    .withOnReceiveMessage((message, next) => {
      messages += 1;
      next(message);
    })
    .withOnReceiveHalfClose((next) => {
      ended();
      if (messages === 0) refuse(fieldInvalid('request', 'must be one whole message'));
      else next();
    })
    .withOnCancel(ended)
    .build();
}

/**
 * Puts details on every failure that has none. Those that grpc-js finds while it reads pass no
 * responder: it calls its own `sendStatus`, which is why that is replaced on the call itself.
 */
function answerInOurWords(
  method: string,
  call: ServerInterceptingCallInterface,
  { random, log, observer }: CallGuardOptions,
) {
  const send = call.sendStatus.bind(call);
  let requestId = '';
  let writing = false;

  const tell = (failure: Failure, cause: unknown): Told => {
    const { code, message, metadata, outcome, reference } = failure;
    if (requestId !== '') metadata.set(REQUEST_ID_KEY, requestId);
    observer?.refused(status[code]);
    if (reference === undefined) log.info({ method, outcome, requestId }, 'a call was refused');
    else log.error({ err: cause, reference, method, requestId }, 'a call failed unexpectedly');
    return { code, details: message, metadata };
  };
  const explain = (error: unknown) => tell(failureOf(error, random), error);
  const refuse = (error: unknown): void => send(explain(error));
  const fault = ({ details }: Told) => explain(new Error(details ?? 'no details'));
  const fine = (told: Told): boolean => told.code === status.OK || hasDetails(told.metadata);

  call.sendStatus = (told) => {
    if (fine(told)) send(told);
    else if (writing) send(fault(told));
    else send(unread(told, tell, explain));
  };

  const responder = (listener?: ServerListener) => ({
    start: (next: (listener?: ServerListener) => void): void => {
      next({
        ...listener,
        onReceiveMetadata: (metadata: Metadata, pass: (metadata: Metadata) => void) => {
          requestId = requestIdOf(metadata);
          if (sizeOf(metadata) <= MAX_METADATA_BYTES) pass(metadata);
          else refuse(fieldInvalid('metadata', `must have at most ${MAX_METADATA_BYTES} bytes`));
        },
      });
    },
    // What fails in here, at once, is an answer of ours that cannot be written.
    sendMessage: (message: unknown, next: (message: unknown) => void): void => {
      writing = true;
      next(message);
      writing = false;
    },
    sendStatus: (told: Told, next: (told: Told) => void): void => {
      const { code } = told;
      if (fine(told)) next(told);
      else if (code === status.INTERNAL || code === status.UNKNOWN) next(fault(told));
      else next(tell(bareFailure(code ?? status.UNKNOWN, told.details ?? ''), undefined));
    },
  });
  return { refuse, responder };
}

function sizeOf(metadata: Metadata): number {
  let size = 0;
  for (const name of Object.keys(metadata.getMap())) {
    for (const value of metadata.get(name)) size += name.length + value.length;
  }
  return size;
}

/** What grpc-js made of a request that it could not read. */
function unread(
  told: Told,
  tell: (failure: Failure, cause: unknown) => Told,
  explain: (error: unknown) => Told,
): Told {
  switch (told.code) {
    case status.DEADLINE_EXCEEDED:
      return explain(new CallEndedError('deadline'));
    case status.UNIMPLEMENTED:
      // gRPC prescribes this status, and an answer that lists the encodings there are.
      return tell(bareFailure(told.code, 'the encoding of the message is not known'), undefined);
    case status.RESOURCE_EXHAUSTED:
      if (told.details === TWO_MESSAGES || told.details === MANY_COMPRESSED) {
        return explain(fieldInvalid('request', told.details));
      }
      return explain(fieldInvalid('request', `must have at most ${MAX_REQUEST_BYTES} bytes`));
    default:
      return told.details?.includes('grpc-timeout') === true
        ? explain(fieldInvalid('grpc-timeout', 'is not a duration'))
        : explain(fieldInvalid('request', 'could not be read'));
  }
}
