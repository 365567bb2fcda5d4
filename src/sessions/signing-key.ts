import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  type KeyObject,
} from 'node:crypto';
import type { JWK } from 'jose';
// Of the whole library a server needs this alone, and would load it all at each start.
import { calculateJwkThumbprint } from 'jose/jwk/thumbprint';
import type { Random } from '../core/ids.js';
import { deriveKeyRing, type KeyRing, SEAL_NONCE_BYTES, seal, unseal } from '../core/keys.js';

/**
 * The one algorithm of access tokens. A token's header is compared with it, never obeyed (rule 17).
 */
export const SIGNING_ALGORITHM = 'EdDSA';

export interface SigningKey {
  /** RFC 7638 thumbprint of the public key. */
  readonly kid: string;
  readonly privateKey: KeyObject;
  readonly publicKey: KeyObject;
  readonly publicJwk: JWK;
}

/** A key as the database keeps it: the private part sealed, and bound to its name. */
export interface SealedSigningKey {
  readonly kid: string;
  readonly publicJwk: JWK;
  readonly privateSealed: Buffer;
}

/** What seals the private parts, out of TOKEN_KEYS. */
export function signingKeySeals(tokenKeys: KeyRing): KeyRing {
  return deriveKeyRing(tokenKeys, 'signing-key');
}

export async function generateSigningKey(
  sealingKeys: KeyRing,
  random: Random,
): Promise<SealedSigningKey> {
  const { privateKey } = generateKeyPairSync('ed25519');
  const { kid, publicJwk } = await signingKey(privateKey);
  return { kid, publicJwk, privateSealed: sealPrivate(sealingKeys, random, kid, privateKey) };
}

/** The private part under the current key; rejects where none of the ring opens it. */
export async function resealSigningKey(
  sealingKeys: KeyRing,
  random: Random,
  stored: Pick<SealedSigningKey, 'kid' | 'privateSealed'>,
): Promise<Buffer> {
  const { kid, privateKey } = await openSigningKey(sealingKeys, stored);
  return sealPrivate(sealingKeys, random, kid, privateKey);
}

function sealPrivate(
  sealingKeys: KeyRing,
  random: Random,
  kid: string,
  privateKey: KeyObject,
): Buffer {
  const pkcs8 = privateKey.export({ format: 'der', type: 'pkcs8' });
  return seal(sealingKeys, random.nonce(SEAL_NONCE_BYTES), kid, pkcs8);
}

/**
 * Opens a stored key. The public part is derived from the private one, which only a holder of
 * TOKEN_KEYS can have sealed: whoever can merely write into the table cannot add a key that we
 * trust.
 */
export async function openSigningKey(
  sealingKeys: KeyRing,
  stored: Pick<SealedSigningKey, 'kid' | 'privateSealed'>,
): Promise<SigningKey> {
  let pkcs8: Buffer;
  try {
    pkcs8 = unseal(sealingKeys, stored.kid, stored.privateSealed);
  } catch (cause) {
    throw new Error(
      `signing key ${stored.kid} cannot be opened with the configured TOKEN_KEYS: ` +
        'configure the key it was sealed under too, after the current one, until the signing key is retired',
      { cause },
    );
  }
  const key = await signingKey(createPrivateKey({ key: pkcs8, format: 'der', type: 'pkcs8' }));
  if (key.kid !== stored.kid)
    throw new Error(`signing key ${stored.kid} is not what its name says`);
  return key;
}

async function signingKey(privateKey: KeyObject): Promise<SigningKey> {
  const publicKey = createPublicKey(privateKey);
  const { kty, crv, x } = publicKey.export({ format: 'jwk' });
  if (kty !== 'OKP' || crv !== 'Ed25519' || x === undefined) {
    throw new Error('a signing key must be an Ed25519 key');
  }
  const kid = await calculateJwkThumbprint({ kty, crv, x });
  const publicJwk = { kty, crv, x, kid, use: 'sig', alg: SIGNING_ALGORITHM };
  return { kid, privateKey, publicKey, publicJwk };
}
