import { Metadata, Server, ServerCredentials, type ServerUnaryCall, status } from '@grpc/grpc-js';
import { AccountStatus, IdentifierType } from '../../generated/countersign/v1/account.js';
import { AuthServiceService } from '../../generated/countersign/v1/auth_service.js';
import { Channel } from '../../generated/countersign/v1/challenge.js';
import { BadRequest, ErrorInfo, RetryInfo } from '../../generated/google/rpc/error_details.js';
import { Status } from '../../generated/google/rpc/status.js';

/** What a handler of the fake answers with, over the real wire. */
export interface Reply {
  readonly response?: object;
  readonly trailing?: Readonly<Record<string, string>>;
  readonly failure?: { readonly code: status; readonly text: string; readonly details?: Buffer };
}

export interface SeenCall {
  readonly rpc: string;
  readonly request: Readonly<Record<string, unknown>>;
  readonly metadata: Readonly<Record<string, unknown>>;
  readonly deadlineMs: number;
  readonly cancelled: Promise<void>;
}

export type Handler = (call: SeenCall) => Reply | Promise<Reply>;

export interface FakeAuthService extends AsyncDisposable {
  readonly address: string;
  readonly seen: SeenCall[];
  /** Answers an RPC from now on; one without a handler is UNIMPLEMENTED. */
  on(rpc: string, handler: Handler): void;
}

/** An AuthService on port 0 whose answers are the test's; only the wire is real. */
export async function startFakeAuthService(
  credentials: ServerCredentials = ServerCredentials.createInsecure(),
): Promise<FakeAuthService> {
  const server = new Server();
  const handlers = new Map<string, Handler>();
  const seen: SeenCall[] = [];
  const implementation = Object.fromEntries(
    Object.entries(AuthServiceService).map(([name, { path }]) => {
      const rpc = path.slice(path.lastIndexOf('/') + 1);
      const unary = (call: ServerUnaryCall<unknown, unknown>, callback: UnaryCallback) => {
        const now = seenCall(rpc, call);
        seen.push(now);
        const handler =
          handlers.get(rpc) ?? (() => ({ failure: { code: status.UNIMPLEMENTED, text: rpc } }));
        void Promise.resolve(now)
          .then(handler)
          .then((reply) => answer(reply, callback));
      };
      return [name, unary];
    }),
  );
  server.addService(AuthServiceService, implementation);
  const port = await new Promise<number>((resolve, reject) => {
    server.bindAsync('127.0.0.1:0', credentials, (error, bound) =>
      error ? reject(error) : resolve(bound),
    );
  });
  return {
    address: `127.0.0.1:${port}`,
    seen,
    on: (rpc, handler) => handlers.set(rpc, handler),
    [Symbol.asyncDispose]: async () => server.forceShutdown(),
  };
}

type UnaryCallback = (error: object | null, value?: unknown, trailer?: Metadata) => void;

function seenCall(rpc: string, call: ServerUnaryCall<unknown, unknown>): SeenCall {
  const deadline = call.getDeadline();
  return {
    rpc,
    request: { ...(call.request as object) },
    metadata: call.metadata.getMap(),
    deadlineMs: (deadline instanceof Date ? deadline.getTime() : deadline) - Date.now(),
    cancelled: new Promise((resolve) => call.on('cancelled', () => resolve())),
  };
}

function answer({ response, trailing, failure }: Reply, callback: UnaryCallback): void {
  const metadata = new Metadata();
  for (const [key, value] of Object.entries(trailing ?? {})) metadata.set(key, value);
  if (failure?.details !== undefined) {
    metadata.set('grpc-status-details-bin', failure.details);
  }
  if (failure === undefined) callback(null, response, metadata);
  else callback({ code: failure.code, details: failure.text, metadata });
}

const TYPE = 'type.googleapis.com/google.rpc.';

export interface RpcStatus {
  readonly reason?: string;
  readonly domain?: string;
  readonly metadata?: Record<string, string>;
  readonly retry?: { readonly seconds: bigint; readonly nanos: number };
  readonly violations?: { field: string; description: string }[];
}

/** The bytes of a `google.rpc.Status` as the server sends them. */
export function rpcStatus({ reason, domain, metadata, retry, violations }: RpcStatus): Buffer {
  const details = [];
  if (reason !== undefined) {
    const info = ErrorInfo.fromPartial({
      reason,
      domain: domain ?? 'countersign.v1',
      metadata: metadata ?? {},
    });
    details.push({
      typeUrl: `${TYPE}ErrorInfo`,
      value: Buffer.from(ErrorInfo.encode(info).finish()),
    });
  }
  if (retry !== undefined) {
    const info = RetryInfo.fromPartial({ retryDelay: retry });
    details.push({
      typeUrl: `${TYPE}RetryInfo`,
      value: Buffer.from(RetryInfo.encode(info).finish()),
    });
  }
  if (violations !== undefined) {
    const bad = BadRequest.fromPartial({ fieldViolations: violations });
    details.push({
      typeUrl: `${TYPE}BadRequest`,
      value: Buffer.from(BadRequest.encode(bad).finish()),
    });
  }
  return Buffer.from(
    Status.encode(Status.fromPartial({ code: 3, message: 'm', details })).finish(),
  );
}

export function fail(
  code: status,
  details: RpcStatus,
  trailing: Record<string, string> = {},
): Reply {
  return { failure: { code, text: 'for developers', details: rpcStatus(details) }, trailing };
}

/**
 * Enough of the service to walk through it once: one account, two codes, one password. `token`
 * signs what a sign-in returns; `deliver` gets each code as a message would.
 */
export function playAccount(
  fake: FakeAuthService,
  token: () => Promise<string>,
  deliver: (to: string, code: string) => Promise<void> = async () => undefined,
): Map<string, string> {
  const codes = new Map<string, string>();
  const account = { email: '', phone: '', password: '', verified: new Set<string>() };
  const tokens = async () => ({
    tokenType: 'Bearer',
    accessToken: await token(),
    expiresIn: 900,
    refreshToken: 'r',
    refreshExpiresIn: 3_600,
  });
  fake.on('SignUp', async ({ request }) => {
    account.email = String(request['email']);
    account.phone = String(request['phoneNumber']);
    account.password = String(request['password']);
    codes.set(account.email, '012345').set(account.phone, '678901');
    for (const [to, code] of codes) await deliver(to, code);
    const challenges = [
      { challengeId: 'c-mail', channel: Channel.EMAIL, maskedDestination: 'a***@example.com' },
      { challengeId: 'c-sms', channel: Channel.SMS, maskedDestination: '********01' },
    ];
    const made = {
      accountId: 'account-1',
      status: AccountStatus.ACTIVE,
      identifiers: [],
      etag: '1',
    };
    return { response: { account: made, tokens: await tokens(), challenges } };
  });
  const confirm =
    (type: IdentifierType, challengeId: string, value: () => string): Handler =>
    ({ request, metadata }) => {
      const signedIn = String(metadata['authorization']).startsWith('Bearer ey');
      if (
        !signedIn ||
        request['challengeId'] !== challengeId ||
        request['code'] !== codes.get(value())
      ) {
        return fail(status.INVALID_ARGUMENT, {
          reason: 'CODE_INVALID',
          metadata: { attempts_left: '4' },
        });
      }
      account.verified.add(value());
      return {
        response: { identifier: { type, value: value(), verified: true, signInEnabled: true } },
      };
    };
  fake.on(
    'ConfirmEmail',
    confirm(IdentifierType.EMAIL, 'c-mail', () => account.email),
  );
  fake.on(
    'ConfirmPhoneNumber',
    confirm(IdentifierType.PHONE, 'c-sms', () => account.phone),
  );
  fake.on('SignIn', async ({ request }) =>
    account.verified.has(String(request['identifier'])) && request['password'] === account.password
      ? { response: { tokens: await tokens(), accountId: 'account-1' } }
      : fail(status.UNAUTHENTICATED, { reason: 'CREDENTIALS_INVALID' }),
  );
  return codes;
}
