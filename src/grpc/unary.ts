import type { BinaryReader } from '@bufbuild/protobuf/wire';
import {
  type handleUnaryCall,
  Metadata,
  type ServerUnaryCall,
  type sendUnaryData,
  status,
} from '@grpc/grpc-js';
import type { AccessLog } from '../audit/index.js';
import {
  type Caller,
  type CallerDirectory,
  callerNotAllowed,
  callerUnknown,
} from '../callers/index.js';
import type { Person } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import { negotiateLocale } from '../core/contact.js';
import type { Random } from '../core/ids.js';
import type { Logger } from '../core/logger.js';
import type { Place } from '../passwords/index.js';
import { accessTokenInvalid } from '../sessions/index.js';
import {
  type Charge,
  compoundKey,
  type Refusal,
  rateLimited,
  sourceCharges,
  spendOnSends,
  type Verdict,
} from '../throttling/index.js';
import {
  CALLER_KEY,
  type CallFor,
  CLIENT_USER_AGENT_KEY,
  only,
  peerAddress,
  REQUEST_ID_KEY,
  RETRY_AFTER_KEY,
  type RpcCall,
  requestIdOf,
  sourceOf,
  userAgentFrom,
} from './call-context.js';
import { type EdgeObserver, type Ending, observeRpc, UNANSWERED } from './call-observer.js';
import { type Watch, watchCall } from './deadline.js';
import type { Door } from './door.js';
import { decode } from './parse.js';
import type { PersonNeed, RpcPolicy } from './rpc-policies.js';
import { failureOf, wholeSeconds } from './status-details.js';
import { certificateNamesOf } from './tls-terminator.js';

/**
 * One RPC as a service file writes it: parse → call → map. Methods, so that a list of RPCs can forget
 * what passes between an RPC's own steps.
 */
export interface Rpc<
  Need extends PersonNeed,
  Request,
  Response,
  Input = unknown,
  Output = unknown,
> {
  /** Judges shapes alone. Throws a `DomainError`; then nothing is charged (P2). */
  parse(request: Request, call: CallFor<Need>): Input;
  /** Refuses a call on its headers, before any of it is read. */
  refuses?: Door;
  /** Refuses what would be shed later, before it costs anything; disposed of when the call has ended. */
  admit?(call: CallFor<Need>): Place;
  /** Soft limits of its own, consumed in one round trip with the edge's. */
  charges?(input: Input, call: CallFor<Need>): readonly Charge[];
  /** What its messages cost: consumed together with the charges, given back where none was sent. */
  sends?(input: Input, call: CallFor<Need>): readonly Charge[];
  /**
   * Answers in place of the use-case where only limiters that hold back are exhausted: a success that
   * tells no more than the wait, which `retry-after` says too (T4). Without it such a call is refused.
   */
  heldBack?(input: Input, call: CallFor<Need>, refusal: Refusal): Output | Promise<Output>;
  /** The use-case. */
  run(input: Input, call: CallFor<Need>): Promise<Output>;
  toResponse(output: Output): Response;
}

export interface EdgeDeps {
  readonly clock: Clock;
  readonly random: Random;
  readonly log: Logger;
  readonly audit: Pick<AccessLog, 'record'>;
  /** Finds a calling service by its key, or by what its certificate says. */
  readonly callers: Pick<CallerDirectory, 'find' | 'findByCertificate'>;
  /** Whether calls are served that show nothing that names a caller; they may use every group. */
  readonly allowAnonymousCallers: boolean;
  /** Throws `ACCESS_TOKEN_INVALID` for whatever is not a good token. */
  verifyAccessToken(token: string): Promise<Person>;
  /** Judges by limits that all replicas share. */
  admit(charges: readonly Charge[]): Promise<Verdict>;
  /** The same, counted in this process alone. */
  admitLocally(charges: readonly Charge[]): Promise<Verdict>;
  /** The longest that a call may take. */
  readonly callTimeoutMs: number;
  /** For the metrics. */
  readonly observer?: EdgeObserver;
}

/** An RPC as the adapter runs it. */
export interface UnaryDefinition<Need extends PersonNeed, Request, Response> {
  /** `countersign.v1.AuthService/SignIn`. */
  readonly method: string;
  readonly policy: RpcPolicy & { readonly person: Need };
  readonly read: (input: BinaryReader) => Request;
  readonly rpc: Rpc<Need, Request, Response>;
}

/** What the adapter learns of a call as it goes; `RpcCall` is the part that handlers see. */
class OpenCall implements RpcCall {
  readonly startedAt = performance.now();
  readonly locale: RpcCall['locale'];
  readonly deadline: Date;
  caller = '';
  source = '';
  sourceIsLocal = false;
  sourceIsCaller = false;
  person: Person | undefined;
  accountId: string | undefined;
  retryAfter: number | undefined;
  nothingSent = false;

  constructor(
    readonly requestId: string,
    private readonly metadata: Metadata,
    /** Of the connection: asked for while there is one. */
    readonly peer: string,
    private readonly watch: Watch,
  ) {
    this.locale = negotiateLocale(only(metadata, 'accept-language'));
    this.deadline = watch.deadline;
  }

  get signal(): AbortSignal {
    return this.watch.signal;
  }

  /** Believed from a caller that has shown who it is, like the address; read where somebody asks for it. */
  get userAgent(): string | undefined {
    if (this.caller === '') return undefined;
    return userAgentFrom(only(this.metadata, CLIENT_USER_AGENT_KEY));
  }

  comesFrom({ source, sourceIsLocal, sourceIsCaller }: ReturnType<typeof sourceOf>): void {
    this.source = source;
    this.sourceIsLocal = sourceIsLocal;
    this.sourceIsCaller = sourceIsCaller;
  }

  // Fields, not methods: a handler may take them out of the call.
  readonly attribute = (accountId: string): void => {
    this.accountId = accountId;
  };

  readonly sentNothing = (): void => {
    this.nothingSent = true;
  };

  readonly holdBack = (seconds: number): void => {
    this.retryAfter = wholeSeconds(seconds);
  };
}

/**
 * The one way from the wire to a use-case. grpc-js takes no notice of a handler's promise: one that
 * rejects leaves the client waiting or ends the process. Here every call gets exactly one answer,
 * whether the handler returns, throws, rejects or never settles, and one audit record.
 *
 * The request arrives as bytes and is read after caller and person are known, so that a malformed one
 * is refused with a reason, and a stranger's costs nothing.
 */
export function unary<Need extends PersonNeed, Request, Response>(
  definition: UnaryDefinition<Need, Request, Response>,
  deps: EdgeDeps,
): handleUnaryCall<Buffer, Response> {
  const observe = observeRpc(definition.method, deps.observer);
  return (wire, respond) => {
    const observed = observe((name) => only(wire.metadata, name));
    let open = true;
    const answer = (send: () => Ending): void => {
      if (!open) return;
      open = false;
      watch.stop();
      let ending = UNANSWERED;
      try {
        ending = observed.run(send);
      } catch (error) {
        deps.log.error({ err: error, method: definition.method }, 'a call could not be answered');
      }
      observed.ended(ending, (performance.now() - call.startedAt) / 1_000);
    };
    const fail = (error: unknown): void =>
      answer(() => answerFailure(definition.method, deps, call, respond, error));
    const watch = watchCall(wire, deps.clock, deps.callTimeoutMs, fail);
    const { metadata } = wire;
    const call = new OpenCall(requestIdOf(metadata), metadata, wire.getPeer(), watch);
    const work = () => serve(definition, deps, wire, call);
    observed
      .run(work)
      .then(
        (response) => answer(() => answerSuccess(definition.method, deps, call, respond, response)),
        fail,
      );
  };
}

async function serve<Need extends PersonNeed, Request, Response>(
  { method, policy, read, rpc }: UnaryDefinition<Need, Request, Response>,
  deps: EdgeDeps,
  wire: ServerUnaryCall<Buffer, Response>,
  call: OpenCall,
): Promise<Response> {
  const caller = await identifyCaller(wire, deps);
  if (caller !== undefined) {
    call.caller = caller.name;
    if (!caller.rpcGroups.has(policy.group)) throw callerNotAllowed(policy.group);
  }
  call.comesFrom(sourceOf(wire.metadata, call.peer, caller !== undefined));
  if (policy.person !== 'none') {
    call.person = await identifyPerson(wire.metadata, policy.person, deps);
    call.accountId = call.person?.accountId;
  }
  // The two steps above made good what the policy promises of the call.
  const promised = call as unknown as CallFor<Need>;
  const input = rpc.parse(decode(wire.request, read), promised);
  using place = rpc.admit?.(promised);
  // What comes before a hash waits for its turn too.
  if (place?.near !== undefined) await place.near;
  const own = callCharges(method, policy, call);
  const sends = rpc.sends?.(input, promised) ?? [];
  const charges = [...own, ...(rpc.charges?.(input, promised) ?? []), ...sends];
  const verdict = await (policy.counted === 'shared'
    ? deps.admit(charges)
    : deps.admitLocally(charges));
  if (!verdict.admitted) return rpc.toResponse(await holdBack(rpc, input, promised, verdict));
  const work = () => rpc.run(input, promised);
  return rpc.toResponse(await spendOnSends(verdict.receipt, sends, work, () => call.nothingSent));
}

function holdBack<Need extends PersonNeed, Input, Output>(
  rpc: Pick<Rpc<Need, unknown, unknown, Input, Output>, 'heldBack'>,
  input: Input,
  call: CallFor<Need>,
  refusal: Refusal,
): Output | Promise<Output> {
  const { holdsBack, retryAfterSeconds } = refusal;
  if (rpc.heldBack === undefined || !holdsBack) throw rateLimited(retryAfterSeconds);
  call.holdBack(retryAfterSeconds);
  return rpc.heldBack(input, call, refusal);
}

/**
 * A certificate that stands for a caller says who calls, and then no key is looked at: one that leaked is
 * of no use on another's connection. A certificate that is good and names nobody leaves it to the key.
 */
async function identifyCaller(
  wire: Pick<ServerUnaryCall<Buffer, unknown>, 'metadata' | 'getAuthContext'>,
  deps: EdgeDeps,
): Promise<Caller | undefined> {
  const names = certificateNamesOf(wire.getAuthContext()?.sslPeerCertificate);
  if (names.length > 0) {
    const named = await deps.callers.findByCertificate(names);
    // A disabled caller, or a choice of two: nobody, and not an anonymous one.
    if (named === 'refused') throw callerUnknown();
    if (named !== undefined) return named;
  }
  const shown = wire.metadata.get(CALLER_KEY);
  if (shown.length === 0) {
    if (deps.allowAnonymousCallers) return undefined;
    throw callerUnknown();
  }
  const caller = shown.length === 1 ? await deps.callers.find(String(shown[0])) : undefined;
  if (caller === undefined) throw callerUnknown();
  return caller;
}

const BEARER = /^Bearer +([A-Za-z0-9._~+/-]+=*)$/i;

async function identifyPerson(
  metadata: Metadata,
  need: 'required' | 'optional',
  deps: EdgeDeps,
): Promise<Person | undefined> {
  const shown = metadata.get('authorization');
  if (shown.length === 0 && need === 'optional') return undefined;
  const token = shown.length === 1 ? BEARER.exec(String(shown[0]))?.[1] : undefined;
  if (token === undefined) throw accessTokenInvalid();
  return await deps.verifyAccessToken(token);
}

function callCharges(method: string, policy: RpcPolicy, call: OpenCall): readonly Charge[] {
  const charges: Charge[] = [];
  for (const limiter of policy.limiters) {
    if (limiter === 'callsPerSource') {
      charges.push(...sourceCharges(limiter, call, method));
    } else if (call.caller !== '') {
      charges.push({ limiter, key: compoundKey(method, call.caller) });
    }
  }
  return charges;
}

function answerSuccess<Response>(
  method: string,
  deps: EdgeDeps,
  call: OpenCall,
  respond: sendUnaryData<Response>,
  response: Response,
): Ending {
  const trailers = new Metadata();
  trailers.set(REQUEST_ID_KEY, call.requestId);
  if (call.retryAfter !== undefined) trailers.set(RETRY_AFTER_KEY, String(call.retryAfter));
  respond(null, response, trailers);
  record(method, deps, call, 'OK');
  return { code: status.OK, outcome: 'OK' };
}

function answerFailure<Response>(
  method: string,
  deps: EdgeDeps,
  call: OpenCall,
  respond: sendUnaryData<Response>,
  error: unknown,
): Ending {
  const { code, message, metadata, outcome, reference } = failureOf(error, deps.random);
  metadata.set(REQUEST_ID_KEY, call.requestId);
  respond({ code, details: message, metadata });
  if (reference !== undefined) {
    const { requestId } = call;
    deps.log.error({ err: error, reference, method, requestId }, 'a call failed unexpectedly');
  }
  record(method, deps, call, outcome);
  return { code, outcome };
}

function record(method: string, deps: EdgeDeps, call: OpenCall, outcome: string): void {
  const { caller, requestId, accountId } = call;
  // A call that ended before its source was known came from a stranger, or claimed what is no address.
  const source = call.source === '' ? peerAddress(call.peer) : call.source;
  const durationMs = Math.round(performance.now() - call.startedAt);
  deps.audit.record({ method, accountId, caller, source, requestId, outcome, durationMs });
  deps.log.info({ method, outcome, durationMs, caller, requestId }, 'call');
}
