import { type handleBidiStreamingCall, status } from '@grpc/grpc-js';
import {
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionService,
} from '../../generated/grpc/reflection/v1/reflection.js';
import { ServerReflectionService as AlphaService } from '../../generated/grpc/reflection/v1alpha/reflection.js';
import type { ServiceRegistration } from './auth-rpcs.js';
import type { Descriptors } from './descriptors.js';
import { createStreamSlots, type StreamSlots } from './stream-slots.js';

/** More than any tool asks to learn the whole contract. */
const MAX_REQUESTS_PER_STREAM = 1_000;
const MAX_STREAM_MS = 60_000;
/** Each may hold an answer of the size of a file for a reader who takes his time. */
const STREAMS = { inAll: 64, perAddress: 32, perConnection: 4 };

type Answer = NonNullable<ServerReflectionResponse['messageResponse']>;
type Handler = handleBidiStreamingCall<ServerReflectionRequest, ServerReflectionResponse>;

/**
 * Server reflection from the descriptor set that buf wrote: v1, and v1alpha for older tools, which is
 * the same on the wire. `@grpc/reflection` was not taken: it loses imports, so that `buf curl` cannot
 * find a service whose file imports another. A file is sent alone; tools ask for its imports by name.
 */
export function registerReflection(descriptors: Descriptors): readonly ServiceRegistration[] {
  const implementation = {
    serverReflectionInfo: serveStream(descriptors, createStreamSlots(STREAMS)),
  };
  return [
    { definition: ServerReflectionService, implementation },
    { definition: AlphaService, implementation },
  ];
}

function serveStream(descriptors: Descriptors, slots: StreamSlots): Handler {
  return (stream) => {
    const giveBack = slots.take(stream.getPeer());
    if (giveBack === undefined) {
      const code = status.RESOURCE_EXHAUSTED;
      stream.emit('error', { code, details: 'too many streams at once' });
      return;
    }
    let count = 0;
    const stop = (code: status, details: string): void => {
      stream.removeAllListeners('data');
      stream.emit('error', { code, details });
    };
    const timer = setTimeout(stop, MAX_STREAM_MS, status.DEADLINE_EXCEEDED, 'ask again');
    timer.unref();
    stream.on('data', (request: ServerReflectionRequest) => {
      count += 1;
      if (count > MAX_REQUESTS_PER_STREAM) {
        stop(status.RESOURCE_EXHAUSTED, 'too many requests in one stream');
      } else {
        // Whoever does not read an answer gets no other: the stream's own buffer would take sixteen.
        stream.pause();
        stream.write(respond(descriptors, request), () => stream.resume());
      }
    });
    stream.on('end', () => stream.end());
    const forget = (): void => {
      clearTimeout(timer);
      giveBack();
    };
    stream.on('close', forget);
    stream.on('cancelled', forget);
  };
}

function respond(
  descriptors: Descriptors,
  request: ServerReflectionRequest,
): ServerReflectionResponse {
  return {
    validHost: request.host,
    originalRequest: request,
    messageResponse: answer(descriptors, request.messageRequest),
  };
}

function answer(
  { files, symbols, services }: Descriptors,
  asked: ServerReflectionRequest['messageRequest'],
): Answer {
  switch (asked?.$case) {
    case 'listServices':
      return {
        $case: 'listServicesResponse',
        value: { service: services.map((name) => ({ name })) },
      };
    case 'fileByFilename':
      return file(files.get(asked.value), 'no file of this name');
    case 'fileContainingSymbol':
      return file(files.get(symbols.get(asked.value) ?? ''), 'no such symbol');
    case 'allExtensionNumbersOfType':
      // Nothing in the contract is ever extended; the type itself must exist.
      return symbols.has(asked.value)
        ? {
            $case: 'allExtensionNumbersResponse',
            value: { baseTypeName: asked.value, extensionNumber: [] },
          }
        : refusal(status.NOT_FOUND, 'no such type');
    case 'fileContainingExtension':
      return refusal(status.NOT_FOUND, 'no such extension');
    case undefined:
      return refusal(status.INVALID_ARGUMENT, 'the request asks nothing');
  }
}

function file(bytes: Buffer | undefined, missing: string): Answer {
  if (bytes === undefined) return refusal(status.NOT_FOUND, missing);
  return { $case: 'fileDescriptorResponse', value: { fileDescriptorProto: [bytes] } };
}

function refusal(errorCode: status, errorMessage: string): Answer {
  return { $case: 'errorResponse', value: { errorCode, errorMessage } };
}
