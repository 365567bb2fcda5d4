import type { Random } from '../core/ids.js';
import {
  deriveKeyRing,
  equalBytes,
  type KeyRing,
  mac,
  SEAL_NONCE_BYTES,
  sealWith,
  sha256,
  unsealWith,
} from '../core/keys.js';
import { refreshTokenInvalid } from './errors.js';

/**
 * `crt_` and base64url of: version (1) | session id (16) | generation (4) | secret (32) | MAC (32).
 * The MAC is over all before it and the caller, so that garbage and tokens of other callers are
 * known without a query, and any generation, however old, is known to be ours without stored
 * history.
 */
const PREFIX = 'crt_';
const VERSION = 1;
const SECRET_AT = 21;
const SECRET_BYTES = 32;
const MAC_AT = SECRET_AT + SECRET_BYTES;
const TOKEN_BYTES = MAC_AT + 32;
const TOKEN_LENGTH = PREFIX.length + Math.ceil((TOKEN_BYTES * 4) / 3);

export interface NewRefreshToken {
  readonly token: string;
  /** SHA-256 of it: all that the database keeps (rule 18). */
  readonly hash: Buffer;
}

/** A token that somebody showed, and that we once made for this caller. */
export interface PresentedRefreshToken {
  readonly sessionId: string;
  readonly caller: string;
  /** 0 for the token of the sign-in, one more for each after it. */
  readonly generation: number;
  readonly hash: Buffer;
  readonly secret: Buffer;
}

export interface SuccessorToken extends NewRefreshToken {
  /**
   * The token, for whoever holds its predecessor and for nobody else: not for us, nor for a dump.
   */
  readonly sealed: Buffer;
}

export interface RefreshTokens {
  first(sessionId: string, caller: string): NewRefreshToken;
  /** Throws REFRESH_TOKEN_INVALID for what we did not make for this caller. Costs no query. */
  read(token: string, caller: string): PresentedRefreshToken;
  successorOf(presented: PresentedRefreshToken): SuccessorToken;
  /** The successor that `successorOf` sealed, when it was this token's. */
  openSuccessor(presented: PresentedRefreshToken, sealed: Buffer): string;
}

export function createRefreshTokens(deps: {
  readonly tokenKeys: KeyRing;
  readonly random: Random;
}): RefreshTokens {
  const { random } = deps;
  const macKeys = deriveKeyRing(deps.tokenKeys, 'refresh-mac');

  const make = (sessionId: string, generation: number, caller: string): Buffer => {
    const bytes = Buffer.alloc(TOKEN_BYTES);
    bytes.writeUInt8(VERSION, 0);
    bytes.write(sessionId.replaceAll('-', ''), 1, 'hex');
    bytes.writeUInt32BE(generation, 17);
    random.bytes(SECRET_BYTES).copy(bytes, SECRET_AT);
    mac(macKeys.current.key, bytes.subarray(0, MAC_AT), caller).copy(bytes, MAC_AT);
    return bytes;
  };

  return {
    first(sessionId, caller) {
      const bytes = make(sessionId, 0, caller);
      return { token: write(bytes), hash: sha256(bytes) };
    },
    read(token, caller) {
      const bytes = decode(token);
      if (bytes === undefined) throw refreshTokenInvalid();
      const body = bytes.subarray(0, MAC_AT);
      const made = macKeys.all.some(({ key }) =>
        equalBytes(mac(key, body, caller), bytes.subarray(MAC_AT)),
      );
      if (!made) throw refreshTokenInvalid();
      return {
        sessionId: uuidText(body.subarray(1, 17)),
        caller,
        generation: body.readUInt32BE(17),
        hash: sha256(bytes),
        secret: body.subarray(SECRET_AT),
      };
    },
    successorOf(presented) {
      const bytes = make(presented.sessionId, presented.generation + 1, presented.caller);
      const nonce = random.nonce(SEAL_NONCE_BYTES);
      return {
        token: write(bytes),
        hash: sha256(bytes),
        sealed: sealWith(successorKey(presented), nonce, successorContext(presented), bytes),
      };
    },
    openSuccessor(presented, sealed) {
      return write(unsealWith(successorKey(presented), successorContext(presented), sealed));
    },
  };
}

function write(bytes: Buffer): string {
  return PREFIX + bytes.toString('base64url');
}

/**
 * Undefined for whatever `write` would not have written, down to the unused bits of the last
 * letter.
 */
function decode(token: string): Buffer | undefined {
  if (token.length !== TOKEN_LENGTH || !token.startsWith(PREFIX)) return undefined;
  const bytes = Buffer.from(token.slice(PREFIX.length), 'base64url');
  if (bytes.length !== TOKEN_BYTES || bytes[0] !== VERSION) return undefined;
  return write(bytes) === token ? bytes : undefined;
}

/** HMAC derives it, in one block and without extracting first: the secret is uniformly random (RFC 5869, 3.3). */
function successorKey({ secret }: PresentedRefreshToken): Buffer {
  return mac(secret, 'refresh-successor');
}

function successorContext({ sessionId, generation }: PresentedRefreshToken): string {
  return `refresh-successor:${sessionId}:${generation}`;
}

function uuidText(bytes: Buffer): string {
  const hex = bytes.toString('hex');
  const [a, b, c, d] = [hex.slice(0, 8), hex.slice(8, 12), hex.slice(12, 16), hex.slice(16, 20)];
  return `${a}-${b}-${c}-${d}-${hex.slice(20)}`;
}
