import { hash } from '@node-rs/argon2';
import { ARGON2_FLOOR, hashOptions } from '../../src/passwords/argon2.js';

/** Of everybody who is seeded. */
export const PASSWORD = 'correct horse battery staple';

/** A hash of it with the default parameters, on libuv's pool. */
export function hashPassword(): Promise<string> {
  return hash(PASSWORD, hashOptions(ARGON2_FLOOR));
}
