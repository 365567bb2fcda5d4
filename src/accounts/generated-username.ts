import type { Random } from '../core/ids.js';

/** Five bits each, and none that is mistaken for another (Crockford's base 32). */
const CHARACTERS = '0123456789abcdefghjkmnpqrstvwxyz';
const LENGTH = 12;

/** A username for somebody who has not chosen one. 60 random bits: whether it is free, the index says. */
export function generateUsername(random: Pick<Random, 'bytes'>): string {
  const drawn = Array.from(random.bytes(LENGTH), (byte) => CHARACTERS[byte % CHARACTERS.length]);
  return `user-${drawn.join('')}`;
}
