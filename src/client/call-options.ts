import { Metadata, status } from '@grpc/grpc-js';
import { CountersignError } from './countersign-error.js';

/** What one call may say besides its request. */
export interface CallOptions {
  /** The person on whose behalf the call is made. */
  readonly accessToken?: string | undefined;
  /**
   * The person's IP address, as your own edge saw it. Limits per source look at it: without it, all
   * people behind you share one.
   */
  readonly clientAddress?: string | undefined;
  readonly clientUserAgent?: string | undefined;
  /**
   * Names the call in logs on both sides. Not the `requestId` field of a request, which makes a
   * retry safe.
   */
  readonly requestId?: string | undefined;
  /** The person's `accept-language`: language of messages for whoever has not chosen one. */
  readonly acceptLanguage?: string | undefined;
  /** Instead of the client's own. */
  readonly deadlineMs?: number | undefined;
  /** Cancels the call, at the server too. */
  readonly signal?: AbortSignal | undefined;
}

const PRINTABLE = /^[\x20-\x7e]*$/;
// Far above any real one; the server stores less. Bounded, since browsers send what they like.
const MAX_HINT_LENGTH = 512;

/** The metadata of one call. Throws `CountersignError` for values that no header can carry. */
export function callMetadata(
  rpc: string,
  callerKey: string | undefined,
  options: CallOptions,
): Metadata {
  const metadata = new Metadata();
  if (callerKey !== undefined) metadata.set('countersign-caller-key', callerKey);
  // Never dropped silently: without its token, a call would be judged as an anonymous one.
  if (options.accessToken) {
    if (!PRINTABLE.test(options.accessToken)) {
      throw new CountersignError(status.UNAUTHENTICATED, rpc, 'the access token is not a token', {
        reason: 'ACCESS_TOKEN_INVALID',
      });
    }
    metadata.set('authorization', `Bearer ${options.accessToken}`);
  }
  setExact(metadata, rpc, 'countersign-client-address', options.clientAddress);
  setExact(metadata, rpc, 'countersign-request-id', options.requestId);
  setHint(metadata, 'countersign-client-user-agent', options.clientUserAgent);
  setHint(metadata, 'accept-language', options.acceptLanguage);
  return metadata;
}

function setExact(metadata: Metadata, rpc: string, key: string, value: string | undefined): void {
  if (!value) return;
  if (!PRINTABLE.test(value)) {
    const description = 'must be printable ASCII';
    throw new CountersignError(status.INVALID_ARGUMENT, rpc, `${key} ${description}`, {
      reason: 'FIELD_INVALID',
      metadata: { field: key },
      violations: [{ field: key, description }],
    });
  }
  metadata.set(key, value);
}

/** Hints are the browser's own words: made to fit rather than a reason to refuse a person. */
function setHint(metadata: Metadata, key: string, value: string | undefined): void {
  if (!value) return;
  metadata.set(key, value.slice(0, MAX_HINT_LENGTH).replace(/[^\x20-\x7e]/gu, '?'));
}
