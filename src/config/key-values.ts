import { KEY_BYTES } from '../core/keys.js';
import type { Parsed } from './values.js';

/** Each guess tries every key, and nobody rotates through more. */
const MAX_KEYS = 16;

const HEX = /^[0-9a-f]{64}$/i;

/** Keys separated by commas, current first, each exactly 32 bytes in hex or base64. */
export function parseKeys(text: string): Parsed<readonly Buffer[]> {
  const parts = text.split(',').map((part) => part.trim());
  const keys = parts.map(decodeKey).filter((key) => key !== undefined);
  if (keys.length < parts.length) {
    return { wrong: `not a list of keys of exactly ${KEY_BYTES} bytes in base64 or hex` };
  }
  return checkKeys(keys);
}

/** What is wrong with decoded keys, wherever they come from. */
export function checkKeys(keys: readonly Buffer[]): Parsed<readonly Buffer[]> {
  if (keys.length === 0) return { wrong: 'without any key' };
  if (keys.length > MAX_KEYS) return { wrong: `a list of more than ${MAX_KEYS} keys` };
  if (new Set(keys.map((key) => key.toString('hex'))).size < keys.length) {
    return { wrong: 'a list that holds one key twice' };
  }
  // A placeholder (all zeros, most often), not a secret.
  if (keys.some((key) => key.every((byte) => byte === key[0]))) {
    return { wrong: 'a list with a key whose bytes are all the same, which is no secret' };
  }
  return { value: keys };
}

/** Hex is tried first: 64 hex digits are also valid base64, of 48 bytes that nobody meant. */
export function decodeKey(text: string): Buffer | undefined {
  if (HEX.test(text)) return Buffer.from(text, 'hex');
  const key = Buffer.from(text, 'base64');
  if (key.length !== KEY_BYTES) return undefined;
  // The decoder skips what it does not know, so only what comes back the same was base64.
  const spellings = [key.toString('base64'), key.toString('base64url')];
  return spellings.some((spelling) => bare(spelling) === bare(text)) ? key : undefined;
}

function bare(base64: string): string {
  return base64.replace(/=$/, '');
}
