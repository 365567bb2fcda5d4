import { type handleBidiStreamingCall, status } from '@grpc/grpc-js';
import {
  type ServerReflectionRequest,
  type ServerReflectionResponse,
  ServerReflectionService,
} from '../../generated/grpc/reflection/v1/reflection.js';
import { ServerReflectionService as AlphaService } from '../../generated/grpc/reflection/v1alpha/reflection.js';
import type { ServiceRegistration } from './auth-rpcs.js';
import type { Descriptors } from './descriptors.js';

/** More than any tool asks to learn the whole contract. */
const MAX_REQUESTS_PER_STREAM = 1_000;
const MAX_STREAM_MS = 60_000;

type Answer = NonNullable<ServerReflectionResponse['messageResponse']>;
type Handler = handleBidiStreamingCall<ServerReflectionRequest, ServerReflectionResponse>;

/**
 * Server reflection from the descriptor set that buf wrote: v1, and v1alpha for older tools, which is
 * the same on the wire. `@grpc/reflection` was not taken: it loses imports, so that `buf curl` cannot
 * find a service whose file imports another. A file is sent alone; tools ask for its imports by name.
 */
export function registerReflection(descriptors: Descriptors): readonly ServiceRegistration[] {
  const implementation = { serverReflectionInfo: serveStream(descriptors) };
  return [
    { definition: ServerReflectionService, implementation },
    { definition: AlphaService, implementation },
  ];
}

function serveStream(descriptors: Descriptors): Handler {
  return (stream) => {
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
      } else if (!stream.write(respond(descriptors, request))) {
        // Whoever does not read its answers is not read either.
        stream.pause();
        stream.once('drain', () => stream.resume());
      }
    });
    stream.on('end', () => stream.end());
    stream.on('close', () => clearTimeout(timer));
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
