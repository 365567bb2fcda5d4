import type { Migration } from '../src/db/index.js';
import { migration as identity } from './0001-identity.js';
import { migration as callerCertificates } from './0002-caller-certificates.js';
import { migration as cheaperWrites } from './0003-cheaper-writes.js';
import { migration as everyCredential } from './0004-every-credential.js';

/** In the order of their numbers; forward only. */
export const migrations: readonly Migration[] = [
  identity,
  callerCertificates,
  cheaperWrites,
  everyCredential,
];
