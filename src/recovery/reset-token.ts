import { parse, stringify } from 'uuid';
import type { Random } from '../core/ids.js';
import { sha256 } from '../core/keys.js';

/** `cpr_` and base64url of: id of the flow (16) | secret (32). */
const PREFIX = 'cpr_';
const ID_BYTES = 16;
const SECRET_BYTES = 32;
const SHAPE = /^cpr_[A-Za-z0-9_-]{64}$/;

/** What a right code is traded for. Only the hash of its secret is kept. */
export interface NewResetToken {
  readonly token: string;
  readonly hash: Buffer;
}

export interface PresentedResetToken {
  readonly challengeId: string;
  readonly hash: Buffer;
}

export function makeResetToken(random: Random, challengeId: string): NewResetToken {
  const secret = random.bytes(SECRET_BYTES);
  const bytes = Buffer.concat([parse(challengeId), secret]);
  return { token: PREFIX + bytes.toString('base64url'), hash: sha256(secret) };
}

/** Undefined: whatever it is, it is none of ours, and no query need find that out. */
export function readResetToken(token: string): PresentedResetToken | undefined {
  if (!SHAPE.test(token)) return undefined;
  const bytes = Buffer.from(token.slice(PREFIX.length), 'base64url');
  const id = bytes.subarray(0, ID_BYTES);
  // A version 4 id, as every flow has; `stringify` throws for what is no UUID at all.
  const isFlow = ((id[6] ?? 0) & 0xf0) === 0x40 && ((id[8] ?? 0) & 0xc0) === 0x80;
  if (!isFlow) return undefined;
  return { challengeId: stringify(id), hash: sha256(bytes.subarray(ID_BYTES)) };
}
