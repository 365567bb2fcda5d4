import { hash, verify } from '@node-rs/argon2';
import { type Argon2, hashOptions } from '../../src/passwords/argon2.js';

/** The library's asynchronous functions, which compute on libuv's thread pool. */
export const poolArgon2: Argon2 = {
  hash: (password, salt, parameters) => hash(password, { ...hashOptions(parameters), salt }),
  verify: (encoded, password) => verify(encoded, password),
};
