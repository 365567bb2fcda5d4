import { type Client, type Metadata, status } from '@grpc/grpc-js';
import type { DeepPartial } from '../../generated/countersign/v1/auth_service.js';
import { type CallOptions, callMetadata } from './call-options.js';
import { CountersignError, toCountersignError } from './countersign-error.js';
import { requestIdOf, retryAfterOf } from './error-details.js';

/** A unary method as ts-proto writes it into a service definition. */
interface UnaryDefinition<Request, Response> {
  readonly path: string;
  readonly requestStream: false;
  readonly responseStream: false;
  readonly requestSerialize: (value: Request) => Buffer;
  readonly responseDeserialize: (value: Buffer) => Response;
}

/**
 * A request as the contract has it; messages inside it may leave fields out (`scope: {
 * organizationId }`).
 */
export type RequestInput<Request> = { [Field in keyof Request]: DeepPartial<Request[Field]> };

/** An answer with what came beside it. */
export interface Answer<Response> {
  readonly response: Response;
  /** Where an anonymous call was held back: seconds until another code may be asked for. */
  readonly retryAfterSeconds: number | undefined;
  /** Names the call in the server's logs. */
  readonly requestId: string | undefined;
}

export interface UnaryMethod<Request, Response> {
  /** Makes the call. Rejects with `CountersignError`. */
  (request: RequestInput<Request>, options?: CallOptions): Promise<Response>;
  /** The same call, answered together with its trailing metadata. */
  full(request: RequestInput<Request>, options?: CallOptions): Promise<Answer<Response>>;
}

/** One promise method per unary RPC of a generated service definition. */
export type PromiseClient<Service> = {
  readonly [Method in keyof Service]: Service[Method] extends UnaryDefinition<
    infer Request,
    infer Response
  >
    ? UnaryMethod<Request, Response>
    : never;
};

/** The codecs of a service's requests: `SignUpRequest` for `SignUp`, which buf lint guarantees. */
export type RequestCodecs<Service> = {
  readonly [Name in `${Capitalize<keyof Service & string>}Request`]: RequestCodec;
};

interface RequestCodec {
  // ts-proto's own signature differs per message; which one belongs to which RPC, the name says.
  fromPartial(request: never): unknown;
}

export interface CallDefaults {
  readonly callerKey: string | undefined;
  readonly deadlineMs: number;
}

type AnyService = Readonly<Record<string, UnaryDefinition<never, unknown>>>;

/** Derives the client from the generated definition, so that a new RPC is there once generated. */
export function createPromiseClient<Service extends AnyService>(
  channel: Client,
  service: Service,
  codecs: RequestCodecs<Service>,
  defaults: CallDefaults,
): PromiseClient<Service> {
  const byName = new Map<string, RequestCodec>(Object.entries(codecs));
  const methods = Object.entries(service).map(([name, definition]) => {
    const rpc = definition.path.slice(definition.path.lastIndexOf('/') + 1);
    const codec = byName.get(`${rpc}Request`);
    if (codec === undefined) throw new Error(`no request message for ${rpc}`);
    return [name, unaryMethod(channel, rpc, definition, codec, defaults)] as const;
  });
  // The only step that types cannot follow: a loop over keys does not build a mapped type.
  return Object.freeze(Object.fromEntries(methods)) as unknown as PromiseClient<Service>;
}

function unaryMethod(
  channel: Client,
  rpc: string,
  definition: UnaryDefinition<never, unknown>,
  codec: RequestCodec,
  defaults: CallDefaults,
): UnaryMethod<unknown, unknown> {
  const serialize = (request: unknown) =>
    definition.requestSerialize(codec.fromPartial(request as never) as never);
  // Errors are made here, after an await, so that their stack shows who called.
  const full = async (request: unknown, options: CallOptions = {}): Promise<Answer<unknown>> => {
    try {
      return await send(channel, rpc, definition, serialize, request, options, defaults);
    } catch (error) {
      throw toCountersignError(rpc, error);
    }
  };
  const call = async (request: unknown, options?: CallOptions) =>
    (await full(request, options)).response;
  return Object.assign(call, { full });
}

async function send(
  channel: Client,
  rpc: string,
  definition: UnaryDefinition<never, unknown>,
  serialize: (request: unknown) => Buffer,
  request: unknown,
  options: CallOptions,
  defaults: CallDefaults,
): Promise<Answer<unknown>> {
  const metadata = callMetadata(rpc, defaults.callerKey, options);
  const deadline = Date.now() + checkDeadline(options.deadlineMs ?? defaults.deadlineMs);
  const { signal } = options;
  if (signal?.aborted === true)
    throw new CountersignError(status.CANCELLED, rpc, 'cancelled before it began');
  return new Promise((resolve, reject) => {
    let response: unknown;
    const call = channel.makeUnaryRequest(
      definition.path,
      serialize,
      definition.responseDeserialize,
      request,
      metadata,
      { deadline },
      (error, value) => {
        signal?.removeEventListener('abort', cancel);
        if (error !== null) reject(error);
        response = value;
      },
    );
    const cancel = () => call.cancel();
    signal?.addEventListener('abort', cancel, { once: true });
    // grpc-js tells the trailing metadata of a success only after the callback.
    call.on('status', (end: { readonly metadata: Metadata }) => {
      resolve({
        response,
        retryAfterSeconds: retryAfterOf(end.metadata),
        requestId: requestIdOf(end.metadata),
      });
    });
  });
}

const MAX_DEADLINE_MS = 2 ** 31 - 1;

/** Every call ends: there is no way to ask for a call without a deadline. */
export function checkDeadline(ms: number): number {
  if (ms > 0 && ms <= MAX_DEADLINE_MS) return ms;
  throw new RangeError('deadlineMs must be a positive number of milliseconds');
}
