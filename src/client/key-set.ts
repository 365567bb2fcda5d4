import { type CryptoKey, importJWK, type JWK } from 'jose';

/** Signature algorithms that Countersign issues. */
export type TokenAlgorithm = 'EdDSA' | 'ES256';

export interface VerificationKey {
  readonly algorithm: TokenAlgorithm;
  readonly key: CryptoKey;
}

/** Public keys by `kid`. */
export type KeySet = ReadonlyMap<string, VerificationKey>;

/**
 * Reads a JWK Set (RFC 7517). Keys of kinds we do not use are passed over, as the RFC asks; a set
 * without a single usable key is refused, so that a broken answer never replaces good keys.
 */
export async function parseKeySet(
  json: string,
  algorithms: readonly TokenAlgorithm[],
  maxKeys: number,
): Promise<KeySet> {
  const parsed: unknown = JSON.parse(json);
  const keys = isRecord(parsed) ? parsed['keys'] : undefined;
  if (!Array.isArray(keys)) throw new Error('not a JWK Set');
  if (keys.length > maxKeys) throw new Error(`more than ${maxKeys} keys`);
  const set = new Map<string, VerificationKey>();
  for (const jwk of keys) {
    const algorithm = algorithmOf(jwk);
    if (algorithm === undefined || !algorithms.includes(algorithm)) continue;
    const { kid } = jwk;
    if (typeof kid !== 'string' || kid === '') continue;
    if (set.has(kid)) throw new Error('two keys with one kid');
    set.set(kid, { algorithm, key: await importPublic(jwk, algorithm) });
  }
  if (set.size === 0) throw new Error('no usable key');
  return set;
}

/** The one algorithm that a key is for, by its kind; a key never serves two. */
function algorithmOf(jwk: unknown): TokenAlgorithm | undefined {
  if (!isRecord(jwk)) return undefined;
  if (jwk['use'] !== undefined && jwk['use'] !== 'sig') return undefined;
  const { alg } = jwk;
  if (jwk['kty'] === 'OKP' && jwk['crv'] === 'Ed25519') {
    // RFC 9864 renames EdDSA with this curve to Ed25519 in keys; tokens keep the old name.
    return alg === undefined || alg === 'EdDSA' || alg === 'Ed25519' ? 'EdDSA' : undefined;
  }
  if (jwk['kty'] === 'EC' && jwk['crv'] === 'P-256') {
    return alg === undefined || alg === 'ES256' ? 'ES256' : undefined;
  }
  return undefined;
}

/** Only the public members are taken, whatever else stands in the set. */
async function importPublic(
  jwk: Record<string, unknown>,
  algorithm: TokenAlgorithm,
): Promise<CryptoKey> {
  const { kty, crv, x, y } = jwk;
  const members = algorithm === 'EdDSA' ? { kty, crv, x } : { kty, crv, x, y };
  const key = await importJWK(members as JWK, algorithm);
  if (key instanceof Uint8Array) throw new Error('not a public key');
  return key;
}

function isRecord(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
