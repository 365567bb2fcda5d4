import type { Channel } from '../core/contact.js';
import type { Random } from '../core/ids.js';
import { equalBytes, type KeyRing, mac, sha256 } from '../core/keys.js';
import { codeMalformed } from './errors.js';

export type ChallengePurpose = 'verify' | 'sign_in' | 'reset';

/** What a code is good for, and nothing else (rule 4). */
export interface CodeBinding {
  readonly purpose: ChallengePurpose;
  /** Whose code it is; empty for a challenge that no account stands behind. */
  readonly subject: string;
  readonly channel: Channel;
  /** Canonical address. */
  readonly destination: string;
}

export interface CodePolicy {
  /** Digits of an ordinary code. */
  readonly length: number;
  readonly ttlSeconds: number;
  readonly cooldownSeconds: number;
}

/**
 * Digits of a code that is sent while a budget is shut: 66 bits need no budget, so the person under
 * attack asks once more and is in (docs/architecture.md, "Guess budgets").
 */
export const LONG_CODE_LENGTH = 20;

export interface DrawnCode {
  readonly code: string;
  /** The keyed part of what is stored; the database adds the challenge id, which only it may know. */
  readonly digest: Buffer;
}

/** A code for the binding: uniform digits from the CSPRNG, leading zeros included (rule 1). */
export function drawCode(
  random: Random,
  keys: KeyRing,
  binding: CodeBinding,
  length: number,
): DrawnCode {
  const code = random.digits(length);
  return { code, digest: digestOf(keys.current.key, binding, code) };
}

/**
 * Whether `code` is the one behind `storedHash`. What is stored is SHA-256(HMAC-SHA-256(key, purpose,
 * subject, channel, destination, code) | challenge id): the slot's id is the database's to keep, so
 * the database adds it; without the key a dump cannot try codes. Every key of the ring is tried, and
 * always all of them, so that rotation shows neither in the answer nor in its time.
 */
export function codeMatches(
  keys: KeyRing,
  binding: CodeBinding,
  challengeId: string,
  code: string,
  storedHash: Buffer,
): boolean {
  const id = Buffer.from(challengeId.replaceAll('-', ''), 'hex');
  let matches = false;
  for (const { key } of keys.all) {
    if (equalBytes(sha256(digestOf(key, binding, code), id), storedHash)) matches = true;
  }
  return matches;
}

/** Only ASCII digits, of the ordinary or the long length; anything else costs no guess (P2). */
export function parseCode(field: string, raw: string, policy: CodePolicy): string {
  if (raw === '') throw codeMalformed(field, 'the code is missing');
  if (raw.length > LONG_CODE_LENGTH || !/^[0-9]+$/.test(raw)) {
    throw codeMalformed(field, 'a code is made of the digits 0 to 9 only');
  }
  if (raw.length !== policy.length && raw.length !== LONG_CODE_LENGTH) {
    throw codeMalformed(field, `a code has ${policy.length} digits, or ${LONG_CODE_LENGTH}`);
  }
  return raw;
}

function digestOf(key: Buffer, binding: CodeBinding, code: string): Buffer {
  const { purpose, subject, channel, destination } = binding;
  return mac(key, 'code', purpose, subject, channel, destination, code);
}
