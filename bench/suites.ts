import { enumeration } from './suites/enumeration.js';
import { footprint } from './suites/footprint.js';
import { growth } from './suites/growth.js';
import { introspection } from './suites/introspection.js';
import { offlineVerification } from './suites/offline-verification.js';
import { overload } from './suites/overload.js';
import { peers } from './suites/peers.js';
import { phoneCode } from './suites/phone-code.js';
import { phoneSignIn } from './suites/phone-sign-in.js';
import { recovery } from './suites/recovery.js';
import { refresh } from './suites/refresh.js';
import { signIn } from './suites/sign-in.js';
import type { Suite } from './support/suite.js';

/** In the order of the report. A suite reads its own result only, so what is in it is its own business. */
export const suites: readonly Suite[] = [
  signIn,
  phoneCode,
  phoneSignIn,
  recovery,
  refresh,
  introspection,
  offlineVerification,
  enumeration,
  footprint,
  overload,
  growth,
  peers,
];
