import { randomUUID } from 'node:crypto';
import { isIP } from 'node:net';
import type { Metadata } from '@grpc/grpc-js';
import type { Call, Person, PersonCall } from '../core/call.js';
import { fieldInvalid } from '../core/errors.js';
import { parseSourceAddress } from '../throttling/index.js';
import type { PersonNeed } from './rpc-policies.js';

/** Metadata keys of the contract. */
export const REQUEST_ID_KEY = 'countersign-request-id';
export const CALLER_KEY = 'countersign-caller-key';
export const CLIENT_ADDRESS_KEY = 'countersign-client-address';
export const CLIENT_USER_AGENT_KEY = 'countersign-client-user-agent';
export const RETRY_AFTER_KEY = 'retry-after';

/** A call, and what a service file may say about it besides its answer. */
export interface RpcCall extends Call {
  /** Names the account in the audit, where no access token does: a sign-in, a confirmation. */
  readonly attribute: (accountId: string) => void;
  /** Puts `retry-after` on an answer that succeeds: an anonymous call that was held back (T4). */
  readonly holdBack: (seconds: number) => void;
  /** Says that this call, though it succeeds, sent no message: a repetition. */
  readonly sentNothing: () => void;
}

/** The call as the RPC's policy promises it. */
export type CallFor<Need extends PersonNeed> = Need extends 'required'
  ? RpcCall & PersonCall
  : Need extends 'optional'
    ? RpcCall & { readonly person: Person | undefined }
    : RpcCall;

const REQUEST_ID = /^[A-Za-z0-9._-]{1,64}$/;

/** The caller's id where it has a sane shape, else one of ours: a call is not refused for its name. */
export function requestIdOf(metadata: Metadata): string {
  return requestIdFrom(only(metadata, REQUEST_ID_KEY));
}

export function requestIdFrom(given: string | undefined): string {
  return given !== undefined && REQUEST_ID.test(given) ? given : randomUUID();
}

/**
 * The person's address (rule 21). A caller that has shown who it is speaks for the person; anybody else
 * is the peer of the connection, whatever they claim.
 */
export function sourceOf(
  metadata: Metadata,
  peer: string,
  authenticated: boolean,
): Pick<Call, 'source' | 'sourceIsLocal' | 'sourceIsCaller'> {
  const claimed = authenticated ? metadata.get(CLIENT_ADDRESS_KEY) : [];
  if (claimed.length === 0) {
    const source = peerAddress(peer);
    const sourceIsLocal = source === '::1' || /^127\./.test(source);
    return { source, sourceIsLocal, sourceIsCaller: authenticated };
  }
  const address = claimed.length === 1 ? parseSourceAddress(String(claimed[0])) : undefined;
  if (address === undefined) {
    throw fieldInvalid(
      CLIENT_ADDRESS_KEY,
      'must be exactly one IPv4 or IPv6 address, without a port',
    );
  }
  return { source: address, sourceIsLocal: false, sourceIsCaller: false };
}

/** In code points. */
const MAX_USER_AGENT = 256;

/**
 * What a browser or app says of itself, made to fit rather than refused: nothing is judged by it, and it is
 * shown to the person whose session it began.
 */
export function userAgentFrom(given: string | undefined): string | undefined {
  const readable = given?.replace(/[\p{Cc}\p{Cs}]/gu, '').trim() ?? '';
  return [...readable].slice(0, MAX_USER_AGENT).join('') || undefined;
}

/** Stands for a peer without an address: one that came through a Unix socket, or has just left. */
const NO_ADDRESS = '::';

/** Takes `address:port`, IPv6 without brackets, as grpc-js says it. */
export function peerAddress(peer: string): string {
  // A link-local peer's zone is this machine's business.
  const host = peer.replace(/:\d+$/, '').replace(/%.*$/, '');
  const address = isIP(host) === 0 ? peer : host;
  return parseSourceAddress(address) ?? NO_ADDRESS;
}

/** The value of a key that is given exactly once; two values could mean two things. */
export function only(metadata: Metadata, key: string): string | undefined {
  const values = metadata.get(key);
  return values.length === 1 ? String(values[0]) : undefined;
}
