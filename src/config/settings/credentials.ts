import { ARGON2_FLOOR } from '../../passwords/index.js';
import type { Setting } from './setting.js';

export const credentialSettings = {
  PASSWORD_MIN_LENGTH: {
    kind: 'whole',
    default: '8',
    min: 8,
    max: 256,
    unit: 'code points',
    since: '0.1.0',
    description:
      'Least length of a new password. 15 is recommended where a password is the only factor. Passwords that exist are not judged anew.',
  },
  ARGON2_MEMORY_KIB: {
    kind: 'whole',
    default: String(ARGON2_FLOOR.memoryKib),
    min: ARGON2_FLOOR.memoryKib,
    max: 1_048_576,
    unit: 'KiB',
    since: '0.1.0',
    description:
      'Memory of one Argon2id hash. After a change of any of the three, a password is hashed anew when its owner next signs in.',
  },
  ARGON2_ITERATIONS: {
    kind: 'whole',
    default: String(ARGON2_FLOOR.iterations),
    min: ARGON2_FLOOR.iterations,
    max: 64,
    since: '0.1.0',
    description: 'Passes over that memory.',
  },
  ARGON2_PARALLELISM: {
    kind: 'whole',
    default: String(ARGON2_FLOOR.parallelism),
    min: ARGON2_FLOOR.parallelism,
    max: 64,
    since: '0.1.0',
    description: 'Lanes of one hash, each of which is a thread while it runs.',
  },
  HASH_CONCURRENCY: {
    kind: 'whole',
    absent: 'one per core',
    min: 1,
    max: 256,
    since: '0.1.0',
    description:
      'Password hashes that one process computes at a time, each on a thread of its own at low priority.',
  },
  HASH_QUEUE_LIMIT: {
    kind: 'whole',
    default: '64',
    min: 1,
    max: 10_000,
    unit: 'calls',
    since: '0.1.0',
    description:
      'Calls that may wait for their hash. Beyond that, and where the turn would come after the deadline, a call is refused at once with `OVERLOADED`.',
  },
  TOKEN_ISSUER: {
    kind: 'text',
    maxLength: 255,
    absent: '`countersign` in development, else required',
    since: '0.1.0',
    description: 'The `iss` of access tokens, by which verifiers know this installation.',
  },
  TOKEN_AUDIENCE: {
    kind: 'text',
    maxLength: 255,
    absent: '`countersign` in development, else required',
    since: '0.1.0',
    description: 'The `aud` of access tokens: the services that are meant to accept them.',
  },
  ACCESS_TOKEN_TTL: {
    kind: 'duration',
    default: '15m',
    min: '5s',
    max: '1h',
    since: '0.1.0',
    description:
      'How long an access token is valid. Changed roles, and a block, reach services that verify offline after at most this time.',
  },
  SIGNING_KEY_LIFETIME: {
    kind: 'duration',
    default: '90d',
    min: '1d',
    max: '3650d',
    since: '0.1.0',
    description:
      'How long one key signs access tokens. Its successor is published an hour before it takes over, and it stays published until its last token has expired. `countersign keys rotate` does not wait for it.',
  },
  REFRESH_IDLE_TTL: {
    kind: 'duration',
    default: '30d',
    min: '1m',
    max: '365d',
    since: '0.1.0',
    description: 'How long a session lives without being refreshed.',
  },
  REFRESH_MAX_TTL: {
    kind: 'duration',
    default: '90d',
    min: '1m',
    max: '730d',
    since: '0.1.0',
    description: 'How long a session lives however often it is refreshed.',
  },
} as const satisfies Record<string, Setting>;

const MADE = 'made in `DATA_DIR`; required with `DATABASE_URL` off loopback';

export const keySettings = {
  CODE_KEYS: {
    kind: 'keys',
    absent: MADE,
    since: '0.1.0',
    description: 'Keys of the HMACs of codes. Codes sent under a key that is gone are dead.',
  },
  TOKEN_KEYS: {
    kind: 'keys',
    absent: MADE,
    since: '0.1.0',
    description:
      'Keys that seal the private signing keys and guard refresh tokens. Sessions begun under a key that is gone must sign in again.',
  },
  DATA_KEYS: {
    kind: 'keys',
    absent: MADE,
    since: '0.1.0',
    description:
      'Keys that encrypt queued messages and sealed columns. What was sealed under a key that is gone cannot be read again.',
  },
  PASSWORD_PEPPERS: {
    kind: 'keys',
    absent: 'made in `DATA_DIR` on the embedded database, else none',
    since: '0.1.0',
    description:
      'Keys mixed into password hashes, so that a dump alone cannot be searched. **Passwords hashed under a pepper that is gone can never be verified again.** Keep every one until nothing is hashed under it.',
  },
} as const satisfies Record<string, Setting>;
