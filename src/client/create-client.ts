import { Client, type ClientOptions } from '@grpc/grpc-js';
import * as authService from '../../generated/countersign/v1/auth_service.js';
import { channelCredentials, isLocalTarget, type TlsCredentials } from './credentials.js';
import { checkDeadline, createPromiseClient, type PromiseClient } from './promise-client.js';

/** One promise method per RPC of AuthService. */
export type AuthClient = PromiseClient<typeof authService.AuthServiceService>;

export interface CountersignClientOptions {
  /** A gRPC target: `host:port`, `dns:///host:port`, `unix:/path`. */
  readonly address: string;
  /** Says which service calls. */
  readonly callerKey?: string | undefined;
  /**
   * Absent or `insecure`: plaintext, which is refused off loopback unless `plaintext` allows it.
   */
  readonly credentials?: TlsCredentials | 'insecure' | undefined;
  /** Allows plaintext off loopback, for networks that encrypt by themselves. */
  readonly plaintext?: boolean | undefined;
  /** For calls that name none; 5 seconds by default. Every call has one. */
  readonly deadlineMs?: number | undefined;
  /** Put in front of gRPC's own. */
  readonly userAgent?: string | undefined;
}

export interface CountersignClient extends AsyncDisposable {
  readonly auth: AuthClient;
  /** Closes the connection; calls made afterwards fail. */
  close(): void;
}

const DEFAULT_DEADLINE_MS = 5_000;

/**
 * Opens a client. It connects with the first call and again by itself; one per process is enough.
 */
export function createCountersignClient(options: CountersignClientOptions): CountersignClient {
  const { callerKey } = options;
  if (callerKey !== undefined && !/^[\x21-\x7e]+$/.test(callerKey)) {
    throw new TypeError('callerKey must be printable ASCII without spaces');
  }
  const defaults = {
    callerKey,
    deadlineMs: checkDeadline(options.deadlineMs ?? DEFAULT_DEADLINE_MS),
  };
  const channel = new Client(options.address, channelCredentials(options), channelOptions(options));
  const auth = createPromiseClient(channel, authService.AuthServiceService, authService, defaults);
  const close = () => channel.close();
  return {
    auth,
    close,
    [Symbol.asyncDispose]: async () => close(),
  };
}

function channelOptions({ address, userAgent }: CountersignClientOptions): ClientOptions {
  return {
    ...(userAgent === undefined ? {} : { 'grpc.primary_user_agent': userAgent }),
    // grpc-js obeys `http_proxy`: what was let through in plaintext because it stays on this
    // machine must not go to a proxy.
    ...(isLocalTarget(address) ? { 'grpc.enable_http_proxy': 0 } : {}),
    // A peer that vanished without a word is noticed while calls are under way, not at their
    // deadlines.
    'grpc.keepalive_time_ms': 30_000,
    'grpc.keepalive_timeout_ms': 5_000,
    // A retry policy is no business of a TXT record: which calls may be repeated, the contract says.
    'grpc.service_config_disable_resolution': 1,
    // gRPC's own two minutes are too long for a server that was only restarted.
    'grpc.max_reconnect_backoff_ms': 5_000,
  };
}
