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
  DATABASE_PREPARED_STATEMENTS: {
    kind: 'choice',
    values: ['on', 'off'],
    default: 'on',
    since: '0.1.0',
    description:
      'Whether statements are prepared by name, once per connection, which is faster. Switch it off behind a pooler that does not keep them: PgBouncer before 1.21 or with `max_prepared_statements = 0`, or any other in transaction mode that does not say that it does.',
  },
  DATABASE_DIRECT_URL: {
    kind: 'url',
    schemes: ['postgres', 'postgresql'],
    absent: '`DATABASE_URL`',
    since: '0.1.0',
    description:
      'The same database past the pooler, with the role that owns the tables. Used by `countersign migrate` and by nothing else; the server needs no session of its own and never opens it.',
  },
  DATA_DIR: {
    kind: 'path',
    default: './.countersign',
    since: '0.1.0',
    description:
      'Folder of the embedded database, and of `keys.json` with those keys that are not configured. Made with mode 0700 where it is missing. One process at a time may use its database.',
  },
  REDIS_URL: {
    kind: 'redis',
    absent: 'limits in memory',
    since: '0.1.0',
    description:
      'Redis for the soft limits, shared by all replicas: `redis://user:password@host:6379/0` for one server, `redis+sentinel://user:password@host:26379,host:26379/mymaster/0` behind sentinels (`?sentinel_username=…&sentinel_password=…` where they ask for their own), `redis+cluster://user:password@host:6379,host:6379` for a cluster; `rediss`, `rediss+sentinel` and `rediss+cluster` with TLS. What is not a letter or digit in a user or password is written as `%XX`. Without it limits are counted in memory, which is right for one process only. Hard counts (guesses, locks, cooldowns) are always in the database.',
  },
  REDIS_KEY_PREFIX: {
    kind: 'text',
    default: 'countersign:',
    maxLength: 64,
    since: '0.1.0',
    description:
      'Put before every key in Redis, so that several installations can share one. It holds no brace: those say which keys of a cluster belong together.',
  },
} as const satisfies Record<string, Setting>;
