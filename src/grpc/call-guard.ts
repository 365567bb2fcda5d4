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
import { asMs, CallEndedError } from './deadline.js';
import { MAX_REQUEST_BYTES } from './limits.js';
import { bareFailure, type Failure, failureOf, hasDetails } from './status-details.js';

/** A status on its way out; grpc-js does not export its name. */
type Told = Parameters<ServerInterceptingCallInterface['sendStatus']>[0];

export interface CallGuardOptions {
  /** From the first header to the last byte of the request, and for the whole of a unary call. */
  readonly callTimeoutMs: number;
  readonly random: Pick<Random, 'handle'>;
  readonly log: Logger;
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

/** Lets a request pass to its handler when it is exactly one message; says when it has ended. */
function onlyRequest(refuse: (error: unknown) => void, ended: () => void): ServerListener {
  let messages = 0;
  return new ServerListenerBuilder()
    .withOnReceiveMessage((message, next) => {
      messages += 1;
      if (messages > 1) refuse(fieldInvalid('request', 'must be one message'));
      else next(message);
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
  { random, log }: CallGuardOptions,
) {
  const send = call.sendStatus.bind(call);
  let requestId = '';
  let writing = false;

  const tell = (failure: Failure, cause: unknown): Told => {
    const { code, message, metadata, outcome, reference } = failure;
    if (requestId !== '') metadata.set(REQUEST_ID_KEY, requestId);
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
          pass(metadata);
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
      return explain(fieldInvalid('request', `must have at most ${MAX_REQUEST_BYTES} bytes`));
    default:
      return told.details?.includes('grpc-timeout') === true
        ? explain(fieldInvalid('grpc-timeout', 'is not a duration'))
        : explain(fieldInvalid('request', 'could not be read'));
  }
}
