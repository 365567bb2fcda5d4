import type { Reader } from './reader.js';
import type { NameOf } from './settings.js';

export type Permission = Extract<NameOf<'switch'>, `ALLOW_${string}`>;
export type Permissions = Readonly<Record<Permission, boolean>>;

/** All of them, wherever the server listens: a misspelt one must not wait for production to show. */
export function readPermissions(read: Reader): Permissions {
  return {
    ALLOW_PLAINTEXT: read.flag('ALLOW_PLAINTEXT'),
    ALLOW_ANONYMOUS_CALLERS: read.flag('ALLOW_ANONYMOUS_CALLERS'),
    ALLOW_EMBEDDED_DATABASE: read.flag('ALLOW_EMBEDDED_DATABASE'),
    ALLOW_MEMORY_LIMITS: read.flag('ALLOW_MEMORY_LIMITS'),
    ALLOW_CONSOLE_TRANSPORT: read.flag('ALLOW_CONSOLE_TRANSPORT'),
    ALLOW_FILE_TRANSPORT: read.flag('ALLOW_FILE_TRANSPORT'),
    ALLOW_SHORT_CODES: read.flag('ALLOW_SHORT_CODES'),
  };
}
