import type { Setting } from './setting.js';

export const storageSettings = {
  DATABASE_URL: {
    kind: 'url',
    schemes: ['postgres', 'postgresql'],
    absent: 'the embedded database in `DATA_DIR`',
    since: '0.1.0',
    description:
      'PostgreSQL 15 or later. Its schema is made by `countersign migrate`; the server refuses to start on one that does not fit. Without it the embedded database is used and migrated at start: one process only, no `statement_timeout`, and a crash of the machine may lose the last writes.',
  },
  DATABASE_POOL_SIZE: {
    kind: 'whole',
    default: '10',
    min: 1,
    max: 1_000,
    unit: 'connections',
    since: '0.1.0',
    description:
      'Most connections that one process opens to PostgreSQL. Replicas times this figure must stay under what the server, or the pooler before it, allows.',
  },
  DATA_DIR: {
    kind: 'path',
    default: './.countersign',
    since: '0.1.0',
    description:
      'Folder of the embedded database, and of `keys.json` with those keys that are not configured. Made with mode 0700 where it is missing. One process at a time may use its database.',
  },
  REDIS_URL: {
    kind: 'url',
    schemes: ['redis', 'rediss'],
    absent: 'limits in memory',
    since: '0.1.0',
    description:
      'Redis for the soft limits, shared by all replicas. Without it they are counted in memory, which is right for one process only. Hard counts (guesses, locks, cooldowns) are always in the database.',
  },
  REDIS_KEY_PREFIX: {
    kind: 'text',
    default: 'countersign:',
    maxLength: 64,
    since: '0.1.0',
    description: 'Put before every key in Redis, so that several installations can share one.',
  },
} as const satisfies Record<string, Setting>;
