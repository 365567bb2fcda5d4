import {
  createCipheriv,
  createDecipheriv,
  createHmac,
  hash,
  hkdfSync,
  timingSafeEqual,
} from 'node:crypto';

/**
 * Keys for one purpose, current first; older ones still open and verify what they once made.
 * Each key is 32 bytes and has a public name, so that what it sealed can say which key opens it.
 */
export interface KeyRing {
  readonly current: NamedKey;
  readonly all: readonly NamedKey[];
}

export interface NamedKey {
  /** First four bytes of SHA-256 of the key, hex: a name, not a secret. */
  readonly name: string;
  readonly key: Buffer;
}

export const KEY_BYTES = 32;

export function keyRing(keys: readonly Buffer[]): KeyRing {
  const all = keys.map((key) => ({ name: fingerprint(key), key }));
  const current = all[0];
  if (current === undefined) throw new Error('a key ring needs at least one key');
  return { current, all };
}

/** A ring of keys derived from another one, for a use of its own (HKDF-SHA-256, RFC 5869). */
export function deriveKeyRing(ring: KeyRing, use: string): KeyRing {
  return keyRing(ring.all.map(({ key }) => deriveKey(key, use)));
}

export function deriveKey(key: Buffer, use: string): Buffer {
  return Buffer.from(hkdfSync('sha256', key, Buffer.alloc(0), `countersign:${use}`, KEY_BYTES));
}

/**
 * HMAC-SHA-256 over length-prefixed parts, so that no two lists of parts give the same input.
 */
export function mac(key: Buffer, ...parts: readonly (string | Buffer)[]): Buffer {
  const all = parts.map(bytesOf);
  // One buffer: each `update` is a call into OpenSSL.
  const input = Buffer.allocUnsafe(all.reduce((size, { length }) => size + 4 + length, 0));
  let at = 0;
  for (const bytes of all) {
    at = input.writeUInt32BE(bytes.length, at);
    at += bytes.copy(input, at);
  }
  return createHmac('sha256', key).update(input).digest();
}

export function sha256(...parts: readonly (string | Buffer)[]): Buffer {
  const [only = '', ...more] = parts;
  return hash('sha256', more.length === 0 ? only : Buffer.concat(parts.map(bytesOf)), 'buffer');
}

function bytesOf(part: string | Buffer): Buffer {
  return typeof part === 'string' ? Buffer.from(part, 'utf8') : part;
}

export function equalBytes(a: Buffer, b: Buffer): boolean {
  return a.length === b.length && timingSafeEqual(a, b);
}

/** No key of the ring made this, or it was altered. */
export class UnsealError extends Error {
  override readonly name = 'UnsealError';
}

const NONCE_BYTES = 12;
const TAG_BYTES = 16;
const NAME_BYTES = 4;

/**
 * Seals with AES-256-GCM under the ring's current key. `context` is authenticated but not stored:
 * what was sealed for one row or purpose does not open as another's.
 * Layout: key name (4) | nonce (12) | tag (16) | ciphertext.
 */
export function seal(ring: KeyRing, nonce: Buffer, context: string, plain: Buffer): Buffer {
  const { name, key } = ring.current;
  return Buffer.concat([Buffer.from(name, 'hex'), ...sealedParts(key, nonce, context, plain)]);
}

/** Opens what `seal` made. Throws `UnsealError` where no key of the ring made it, or it was altered. */
export function unseal(ring: KeyRing, context: string, sealed: Buffer): Buffer {
  const name = sealed.subarray(0, NAME_BYTES).toString('hex');
  const found = ring.all.find((candidate) => candidate.name === name);
  if (found === undefined)
    throw new UnsealError(`sealed under a key that is not configured (${name})`);
  return unsealWith(found.key, context, sealed.subarray(NAME_BYTES));
}

/** `seal` for a key of one use, which needs no name: the layout begins with the nonce. */
export function sealWith(key: Buffer, nonce: Buffer, context: string, plain: Buffer): Buffer {
  return Buffer.concat(sealedParts(key, nonce, context, plain));
}

/** Opens what `sealWith` made. Throws `UnsealError` where this key did not make it, or it was altered. */
export function unsealWith(key: Buffer, context: string, sealed: Buffer): Buffer {
  const body = NONCE_BYTES + TAG_BYTES;
  const decipher = createDecipheriv('aes-256-gcm', key, sealed.subarray(0, NONCE_BYTES));
  decipher.setAAD(Buffer.from(context, 'utf8'));
  decipher.setAuthTag(sealed.subarray(NONCE_BYTES, body));
  try {
    return Buffer.concat([decipher.update(sealed.subarray(body)), decipher.final()]);
  } catch (cause) {
    throw new UnsealError('altered, or sealed as something else', { cause });
  }
}

function sealedParts(
  key: Buffer,
  nonce: Buffer,
  context: string,
  plain: Buffer,
): readonly Buffer[] {
  const cipher = createCipheriv('aes-256-gcm', key, nonce);
  cipher.setAAD(Buffer.from(context, 'utf8'));
  const sealed = [cipher.update(plain), cipher.final()];
  return [nonce, cipher.getAuthTag(), ...sealed];
}

/** False for what an older key of the ring made: seal it anew, so that the key can be retired. */
export function isSealedUnderCurrent(ring: KeyRing, sealed: Buffer): boolean {
  return sealed.subarray(0, NAME_BYTES).toString('hex') === ring.current.name;
}

export const SEAL_NONCE_BYTES = NONCE_BYTES;

function fingerprint(key: Buffer): string {
  return hash('sha256', key, 'hex').slice(0, NAME_BYTES * 2);
}
