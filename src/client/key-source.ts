import type { AuthClient } from './create-client.js';
import { isLoopbackHost } from './credentials.js';

/** Where the key set comes from. */
export type KeySource =
  | {
      /** Usually `https://…/.well-known/jwks.json`. Redirects are not followed. */
      readonly jwksUrl: string | URL;
      readonly client?: never;
      /** Allows `http:` off loopback, for networks that encrypt by themselves. */
      readonly plaintext?: boolean | undefined;
      readonly fetch?: typeof globalThis.fetch | undefined;
    }
  | {
      /** Asks `GetJsonWebKeySet` over the connection that is open anyway. */
      readonly client: { readonly auth: Pick<AuthClient, 'getJsonWebKeySet'> };
      readonly jwksUrl?: never;
    };

/** Fetches the JWK Set's JSON text. */
export type FetchKeySet = () => Promise<string>;

const TIMEOUT_MS = 5_000;
// A key is about 150 bytes: room for hundreds, and no room to fill the memory.
const MAX_BODY_BYTES = 64 * 1024;

export function keySetFetcher(source: KeySource): FetchKeySet {
  if (source.client !== undefined) {
    const { auth } = source.client;
    return async () => {
      const { jwksJson } = await auth.getJsonWebKeySet({}, { deadlineMs: TIMEOUT_MS });
      if (Buffer.byteLength(jwksJson) > MAX_BODY_BYTES) throw new Error('the key set is too large');
      return jwksJson;
    };
  }
  const url = new URL(source.jwksUrl);
  // Whoever can change these bytes can sign anybody in.
  if (
    url.protocol !== 'https:' &&
    !(url.protocol === 'http:' && mayBePlain(url, source.plaintext))
  ) {
    throw new TypeError('jwksUrl must be https off loopback, unless plaintext: true');
  }
  return () => fetchText(url, source.fetch ?? globalThis.fetch);
}

function mayBePlain(url: URL, plaintext: boolean | undefined): boolean {
  return plaintext === true || isLoopbackHost(url.hostname);
}

/**
 * The time covers the body too, and is kept here: a signal alone loses its hold on a body once the
 * garbage collector has taken the `Response`, and a server that stalls would then hold us for ever.
 */
async function fetchText(url: URL, fetch: typeof globalThis.fetch): Promise<string> {
  const abort = new AbortController();
  const late = new Promise<never>((_, reject) => {
    abort.signal.addEventListener('abort', () => reject(abort.signal.reason), { once: true });
  });
  const timer = setTimeout(() => {
    abort.abort(new DOMException('the key set did not arrive in time', 'TimeoutError'));
  }, TIMEOUT_MS);
  try {
    return await Promise.race([readText(url, fetch, abort.signal), late]);
  } finally {
    clearTimeout(timer);
  }
}

async function readText(
  url: URL,
  fetch: typeof globalThis.fetch,
  signal: AbortSignal,
): Promise<string> {
  const response = await fetch(url, {
    redirect: 'error',
    headers: { accept: 'application/jwk-set+json, application/json' },
    signal,
  });
  const reader = response.body?.getReader();
  // Closes the connection, whichever way this ends; after a whole body it does nothing.
  const leave = (): void => void reader?.cancel().catch(() => undefined);
  signal.addEventListener('abort', leave, { once: true });
  try {
    if (!response.ok || reader === undefined) {
      throw new Error(`the key set answered ${response.status}`);
    }
    signal.throwIfAborted();
    return await readAll(reader);
  } finally {
    leave();
  }
}

async function readAll(reader: ReadableStreamDefaultReader<Uint8Array>): Promise<string> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Counted as it arrives and after decompression; `content-length` may be absent or a lie.
  for (let part = await reader.read(); !part.done; part = await reader.read()) {
    size += part.value.byteLength;
    if (size > MAX_BODY_BYTES) throw new Error('the key set is too large');
    chunks.push(part.value);
  }
  return Buffer.concat(chunks).toString('utf8');
}
