import type { Call } from '../core/call.js';
import type { Random } from '../core/ids.js';
import { type KeyRing, SEAL_NONCE_BYTES, seal, UnsealError, unseal } from '../core/keys.js';

/** Who a session was opened for, as the calling service told it at the sign-in. Absent: not known. */
export interface SessionClient {
  readonly address?: string;
  readonly userAgent?: string;
}

/** What is known of the person's device: a service that names no person, or a tool here, is none. */
export function clientOf(
  call: Pick<Call, 'source' | 'sourceIsLocal' | 'sourceIsCaller' | 'userAgent'>,
): SessionClient {
  const isPerson = !call.sourceIsLocal && !call.sourceIsCaller;
  return {
    ...(isPerson ? { address: call.source } : {}),
    ...(call.userAgent === undefined ? {} : { userAgent: call.userAgent }),
  };
}

/** Sealed for this session alone: rows hold no client's address in clear (rule 22). Null: nothing is known. */
export function sealClient(
  deps: { readonly clientKeys: KeyRing; readonly random: Random },
  sessionId: string,
  client: SessionClient,
): Buffer | null {
  if (client.address === undefined && client.userAgent === undefined) return null;
  const plain = Buffer.from(JSON.stringify(client), 'utf8');
  return seal(deps.clientKeys, deps.random.nonce(SEAL_NONCE_BYTES), contextOf(sessionId), plain);
}

/** What `sealClient` sealed; nothing is known any more once its key has been retired. */
export function openClient(
  deps: { readonly clientKeys: KeyRing },
  sessionId: string,
  sealed: Buffer | null,
): SessionClient {
  if (sealed === null) return {};
  try {
    const plain = unseal(deps.clientKeys, contextOf(sessionId), sealed).toString('utf8');
    return JSON.parse(plain) as SessionClient;
  } catch (error) {
    if (error instanceof UnsealError) return {};
    throw error;
  }
}

const contextOf = (sessionId: string): string => `session-client:${sessionId}`;
