import { credentials, Metadata, type ServiceError, type StatusObject } from '@grpc/grpc-js';
import { onTestFinished } from 'vitest';
import { AuthServiceClient } from '../../generated/countersign/v1/auth_service.js';
import { BadRequest, ErrorInfo, RetryInfo } from '../../generated/google/rpc/error_details.js';
import { Status } from '../../generated/google/rpc/status.js';
import type { AccessEvent } from '../../src/audit/index.js';
import { type Caller, rpcGroups } from '../../src/callers/index.js';
import { systemClock } from '../../src/core/clock.js';
import { DomainError } from '../../src/core/errors.js';
import { systemRandom } from '../../src/core/ids.js';
import type { Logger } from '../../src/core/logger.js';
import {
  type AuthRpcs,
  createHealth,
  type EdgeDeps,
  openGrpcServer,
  registerAuthService,
} from '../../src/grpc/index.js';
import type { Charge, Verdict } from '../../src/throttling/index.js';

export const goodKey = 'ck_good';
export const goodToken = 'good.token';
export const person = {
  accountId: 'account-1',
  sessionId: 'session-1',
  authTime: new Date('2026-11-01T00:00:00Z'),
};

/** What the edge did, besides answering. */
export interface Seen {
  readonly audit: AccessEvent[];
  readonly admitted: (readonly Charge[])[];
  readonly admittedLocally: (readonly Charge[])[];
  readonly givenBack: (readonly Charge[])[];
  readonly logged: { level: string; fields: object; message: string }[];
}

export interface ToyEdge {
  readonly address: string;
  readonly client: AuthServiceClient;
  readonly seen: Seen;
}

/** A real server on port 0 with toy use-cases behind the real adapter, and a real client to it. */
export async function openToyEdge(
  rpcs: Partial<AuthRpcs> = {},
  overrides: Partial<EdgeDeps> = {},
): Promise<ToyEdge> {
  const seen = newSeen();
  const log = collectLog(seen);
  const services = [
    registerAuthService({ ...inertRpcs(), ...rpcs }, { ...toyDeps(seen, log), ...overrides }),
  ];
  const server = await openGrpcServer({
    listenAddress: '127.0.0.1:0',
    services,
    health: createHealth(['countersign.v1.AuthService']),
    drainMs: 1_000,
    callTimeoutMs: overrides.callTimeoutMs ?? 5_000,
    log,
  });
  const client = new AuthServiceClient(server.address, credentials.createInsecure());
  onTestFinished(async () => {
    client.close();
    await server[Symbol.asyncDispose]();
  });
  return { address: server.address, client, seen };
}

export function newSeen(): Seen {
  return { audit: [], admitted: [], admittedLocally: [], givenBack: [], logged: [] };
}

export function toyDeps(seen: Seen, log: Logger): EdgeDeps {
  const callers: Record<string, Caller> = {
    [goodKey]: { name: 'web-bff', rpcGroups: new Set(rpcGroups) },
    ck_narrow: { name: 'narrow', rpcGroups: new Set(['keys']) },
  };
  return {
    clock: systemClock,
    random: systemRandom,
    log,
    audit: { record: (event) => seen.audit.push(event) },
    callers: { find: async (key) => callers[key], findByCertificate: async () => undefined },
    allowAnonymousCallers: true,
    verifyAccessToken: async (token) => {
      if (token === goodToken) return person;
      throw new DomainError('ACCESS_TOKEN_INVALID', 'not a token of ours');
    },
    admit: admitting(seen, seen.admitted),
    admitLocally: admitting(seen, seen.admittedLocally),
    callTimeoutMs: 5_000,
  };
}

/** Room for every call. */
function admitting(seen: Seen, charged: (readonly Charge[])[]) {
  const giveBack = async (returned: readonly Charge[]) => void seen.givenBack.push(returned);
  return async (charges: readonly Charge[]): Promise<Verdict> => {
    charged.push(charges);
    return { admitted: true, receipt: { giveBack } };
  };
}

/** Every RPC, doing nothing, so that a test names only the one it is about. */
export function inertRpcs(): AuthRpcs {
  const inert = { parse: () => undefined, run: async () => undefined };
  const nothing = { ...inert, toResponse: () => ({}) };
  const account = { ...inert, toResponse: () => ({ account: undefined }) };
  const challenge = { ...inert, toResponse: () => ({ challenge: undefined }) };
  const identifier = { ...inert, toResponse: () => ({ identifier: undefined }) };
  return {
    signUp: {
      ...inert,
      toResponse: () => ({ account: undefined, tokens: undefined, challenges: [] }),
    },
    signIn: { ...inert, toResponse: () => ({ tokens: undefined, accountId: 'account-1' }) },
    requestPhoneSignIn: challenge,
    completePhoneSignIn: {
      ...inert,
      toResponse: () => ({ tokens: undefined, accountId: 'account-1', isFirstSignIn: false }),
    },
    refreshSession: { ...inert, toResponse: () => ({ tokens: undefined }) },
    signOut: nothing,
    signOutEverywhere: nothing,
    listSessions: { ...inert, toResponse: () => ({ sessions: [], nextPageToken: '' }) },
    revokeSession: nothing,
    getAccount: account,
    updateProfile: account,
    updateSettings: account,
    closeAccount: account,
    changePassword: nothing,
    sendEmailVerificationCode: challenge,
    confirmEmail: identifier,
    sendPhoneVerificationCode: challenge,
    confirmPhoneNumber: identifier,
    resendEmailConfirmation: challenge,
    setPhoneNumber: account,
    removePhoneNumber: account,
    removeEmail: account,
    setSignInEnabled: identifier,
    requestPasswordReset: challenge,
    verifyPasswordResetCode: { ...inert, toResponse: () => ({ resetToken: 'reset-1' }) },
    resetPassword: nothing,
    introspectToken: { ...inert, toResponse: () => inactive },
    getJsonWebKeySet: { ...inert, toResponse: () => ({ jwksJson: '{"keys":[]}' }) },
  };
}

const inactive = {
  active: false,
  accountId: '',
  clientId: '',
  sessionId: '',
  tokenId: '',
  issuer: '',
  audience: '',
  issueTime: undefined,
  expireTime: undefined,
  authTime: undefined,
  authenticationMethods: [],
  scope: undefined,
  grants: [],
  roles: [],
  platformRoles: [],
};

export function collectLog(seen: Pick<Seen, 'logged'>): Logger {
  const at = (level: string) => (fields: object, message: string) =>
    void seen.logged.push({ level, fields, message });
  return { debug: at('debug'), info: at('info'), warn: at('warn'), error: at('error') };
}

export function metadata(entries: Readonly<Record<string, string>>): Metadata {
  const made = new Metadata();
  for (const [key, value] of Object.entries(entries)) made.set(key, value);
  return made;
}

export interface Outcome<Response> {
  readonly error: ServiceError | null;
  readonly response: Response | undefined;
  readonly status: StatusObject;
}

type Method<Request, Response> = (
  request: Request,
  metadata: Metadata,
  options: { deadline?: Date },
  callback: (error: ServiceError | null, response: Response) => void,
) => { on(event: 'status', listener: (status: StatusObject) => void): unknown; cancel(): void };

/** One call by a generated client: its answer or its error, and the trailers. */
export function call<Request, Response>(
  client: AuthServiceClient,
  method: Method<Request, Response>,
  request: Request,
  options: {
    metadata?: Readonly<Record<string, string>>;
    deadlineMs?: number;
    cancelAfter?: Promise<unknown>;
  } = {},
): Promise<Outcome<Response>> {
  return new Promise((resolve) => {
    let status: StatusObject | undefined;
    let answer: Pick<Outcome<Response>, 'error' | 'response'> | undefined;
    const done = (): void => {
      if (status !== undefined && answer !== undefined) resolve({ ...answer, status });
    };
    const deadline =
      options.deadlineMs === undefined
        ? {}
        : { deadline: new Date(Date.now() + options.deadlineMs) };
    const started = method.call(
      client,
      request,
      metadata(options.metadata ?? {}),
      deadline,
      (error, response) => {
        answer = { error, response: error === null ? response : undefined };
        done();
      },
    );
    started.on('status', (seen) => {
      status = seen;
      done();
    });
    void options.cancelAfter?.then(() => started.cancel());
  });
}

export interface Details {
  readonly status: Status;
  readonly info: ErrorInfo | undefined;
  readonly badRequest: BadRequest | undefined;
  readonly retryInfo: RetryInfo | undefined;
}

/** What `grpc-status-details-bin` says. */
export function detailsOf({ status }: Pick<Outcome<unknown>, 'status'>): Details {
  const [raw] = status.metadata.get('grpc-status-details-bin');
  if (!Buffer.isBuffer(raw)) throw new Error(`no status details on ${status.details}`);
  const decoded = Status.decode(raw);
  const find = (name: string): Uint8Array | undefined =>
    decoded.details.find(({ typeUrl }) => typeUrl === `type.googleapis.com/google.rpc.${name}`)
      ?.value;
  const [info, badRequest, retryInfo] = ['ErrorInfo', 'BadRequest', 'RetryInfo'].map(find);
  return {
    status: decoded,
    info: info && ErrorInfo.decode(info),
    badRequest: badRequest && BadRequest.decode(badRequest),
    retryInfo: retryInfo && RetryInfo.decode(retryInfo),
  };
}

/** A promise to be settled from outside (`Promise.withResolvers` needs Node 22). */
export function defer<T>(): { readonly promise: Promise<T>; readonly resolve: (value: T) => void } {
  let settle: ((value: T) => void) | undefined;
  const promise = new Promise<T>((resolve) => {
    settle = resolve;
  });
  return { promise, resolve: (value) => settle?.(value) };
}
