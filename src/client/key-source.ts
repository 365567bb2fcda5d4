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

async function fetchText(url: URL, fetch: typeof globalThis.fetch): Promise<string> {
  // The signal covers the body too: a server that drips bytes does not hold us longer.
  const response = await fetch(url, {
    redirect: 'error',
    headers: { accept: 'application/jwk-set+json, application/json' },
    signal: AbortSignal.timeout(TIMEOUT_MS),
  });
  if (!response.ok || response.body === null) {
    await response.body?.cancel();
    throw new Error(`the key set answered ${response.status}`);
  }
  const chunks: Uint8Array[] = [];
  let size = 0;
  // Counted as it arrives and after decompression; `content-length` may be absent or a lie.
  for await (const chunk of response.body) {
    size += chunk.byteLength;
    if (size > MAX_BODY_BYTES) throw new Error('the key set is too large');
    chunks.push(chunk);
  }
  return Buffer.concat(chunks).toString('utf8');
}
