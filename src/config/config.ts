import type { Channel } from '../core/contact.js';
import { type Argon2Parameters, checkArgon2Floor } from '../passwords/index.js';
import { ConfigError } from './config-error.js';
import type { Config } from './config-types.js';
import { checkDangers, checkWorkers, isLoopback } from './dangers.js';
import type { Environment } from './env.js';
import { type Permissions, readPermissions } from './permissions.js';
import { createReader, type Reader } from './reader.js';
import type { Address } from './values.js';

/**
 * The configuration that an environment describes. Pure: opens no file and asks no server.
 *
 * @throws ConfigError with every problem at once.
 */
export function loadConfig(env: Environment): Config {
  const read = createReader(env);
  const listen = read.address('LISTEN_ADDRESS');
  const http = read.address('HTTP_ADDRESS');
  const development = isLoopback(listen.host) && isLoopback(http.host);
  const permitted = readPermissions(read);
  checkPorts(read, listen, http);
  const config: Config = {
    listen,
    http,
    development,
    database: databaseOf(read),
    dataDir: read.path('DATA_DIR'),
    workers: read.whole('WORKERS'),
    ...given({ redis: redisOf(read) }),
    mail: read.transport('MAIL_TRANSPORT'),
    sms: read.transport('SMS_TRANSPORT'),
    codes: codesOf(read, permitted),
    guesses: {
      maxFailures: read.whole('MAX_FAILED_ATTEMPTS'),
      lockoutSeconds: read.seconds('LOCKOUT_DURATION'),
    },
    promote: { email: read.choice('PROMOTE_EMAIL'), sms: read.choice('PROMOTE_PHONE') },
    proofCollision: read.choice('PROOF_COLLISION'),
    phoneSignIn: read.choice('PHONE_SIGN_IN'),
    recovery: {
      delivery: read.choice('RECOVERY_DELIVERY'),
      channels: channelsOf(read.choice('RECOVERY_CHANNEL_ORDER')),
    },
    ...given({ defaultRegion: read.region('DEFAULT_REGION') }),
    phone: given({ allowedRegions: read.regions('SMS_ALLOWED_REGIONS') }),
    passwords: passwordsOf(read),
    tokens: tokensOf(read, development),
    keys: given({
      code: read.keys('CODE_KEYS'),
      token: read.keys('TOKEN_KEYS'),
      data: read.keys('DATA_KEYS'),
      peppers: read.keys('PASSWORD_PEPPERS'),
    }),
    ...given({ tls: tlsOf(read) }),
    connections: connectionsOf(read),
    anonymousCallers: development || permitted.ALLOW_ANONYMOUS_CALLERS,
    callTimeoutMs: read.seconds('CALL_TIMEOUT') * 1_000,
    drainNoticeMs: read.seconds('DRAIN_NOTICE') * 1_000,
    drainTimeoutMs: read.seconds('DRAIN_TIMEOUT') * 1_000,
    logLevel: read.choice('LOG_LEVEL'),
    limits: read.limits(),
  };
  checkWorkers(config, permitted, read);
  checkDangers(config, permitted, read);
  if (read.problems.length > 0) throw new ConfigError(read.problems);
  return config;
}

/** Leaves out what is undefined: an optional property that is there has a value. */
function given<T extends object>(values: T): { [K in keyof T]?: NonNullable<T[K]> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [K in keyof T]?: NonNullable<T[K]>;
  };
}

function checkPorts(read: Reader, listen: Address, http: Address): void {
  if (listen.port === 0 || listen.port !== http.port || listen.host !== http.host) return;
  read.problem(
    'HTTP_ADDRESS',
    'it is the same as LISTEN_ADDRESS',
    'Give the two listeners different ports',
  );
}

function databaseOf(read: Reader): Config['database'] {
  const [url, directUrl] = [read.url('DATABASE_URL'), read.url('DATABASE_DIRECT_URL')];
  if (directUrl !== undefined && url === undefined && !read.faulty('DATABASE_URL')) {
    read.problem(
      'DATABASE_DIRECT_URL',
      'it is set and DATABASE_URL is not, so the server would use the embedded database',
      'Set DATABASE_URL, to the pooler or to the same server',
    );
  }
  return {
    ...given({ url, directUrl }),
    poolSize: read.whole('DATABASE_POOL_SIZE'),
    prepareStatements: read.choice('DATABASE_PREPARED_STATEMENTS') === 'on',
  };
}

function redisOf(read: Reader): Config['redis'] {
  const keyPrefix = read.text('REDIS_KEY_PREFIX');
  if (/[{}]/.test(keyPrefix)) {
    read.problem(
      'REDIS_KEY_PREFIX',
      'it has a brace, which in a cluster decides where a key is',
      'Write it without braces',
    );
  }
  const url = read.redisUrl('REDIS_URL');
  return url === undefined ? undefined : { url, keyPrefix };
}

function channelsOf(order: string): readonly Channel[] {
  return order.split(',').filter((name): name is Channel => name === 'sms' || name === 'email');
}

const SHORT_CODE = 6;

function codesOf(read: Reader, permitted: Permissions): Config['codes'] {
  const length = read.whole('CODE_LENGTH');
  if (length < SHORT_CODE && !permitted.ALLOW_SHORT_CODES) {
    read.problem(
      'CODE_LENGTH',
      `codes of ${length} digits can be guessed more easily than is promised`,
      'Use 6 digits or more, or permit it with ALLOW_SHORT_CODES=true',
    );
  }
  return {
    length,
    ttlSeconds: read.seconds('CODE_TTL'),
    cooldownSeconds: read.seconds('RESEND_COOLDOWN'),
  };
}

function passwordsOf(read: Reader): Config['passwords'] {
  const argon2: Argon2Parameters = {
    memoryKib: read.whole('ARGON2_MEMORY_KIB'),
    iterations: read.whole('ARGON2_ITERATIONS'),
    parallelism: read.whole('ARGON2_PARALLELISM'),
  };
  // The settings' own bounds are the same; this keeps the last word with the slice (rule 15).
  const below = checkArgon2Floor(argon2);
  if (below !== undefined) read.problem('ARGON2_MEMORY_KIB', below, 'Raise it to the floor');
  return {
    minLength: read.whole('PASSWORD_MIN_LENGTH'),
    argon2,
    ...given({ hashConcurrency: read.optionalWhole('HASH_CONCURRENCY') }),
    hashQueueLimit: read.whole('HASH_QUEUE_LIMIT'),
  };
}

const DEVELOPMENT_NAME = 'countersign';

function tokensOf(read: Reader, development: boolean): Config['tokens'] {
  const named = (name: 'TOKEN_ISSUER' | 'TOKEN_AUDIENCE', example: string): string => {
    const value = read.optionalText(name);
    if (value === undefined && !development && !read.faulty(name)) {
      read.problem(name, 'it is required off loopback', `Set it, for example ${name}=${example}`);
    }
    return value ?? DEVELOPMENT_NAME;
  };
  const tokens = {
    issuer: named('TOKEN_ISSUER', 'https://id.example.com'),
    audience: named('TOKEN_AUDIENCE', 'example-services'),
    accessTtlSeconds: read.seconds('ACCESS_TOKEN_TTL'),
    signingKeyLifetimeSeconds: read.seconds('SIGNING_KEY_LIFETIME'),
    refreshIdleSeconds: read.seconds('REFRESH_IDLE_TTL'),
    refreshMaxSeconds: read.seconds('REFRESH_MAX_TTL'),
  };
  if (tokens.refreshIdleSeconds < tokens.accessTtlSeconds) {
    read.problem(
      'REFRESH_IDLE_TTL',
      'it is shorter than ACCESS_TOKEN_TTL, so sessions would end before their tokens',
      'Raise it, or lower ACCESS_TOKEN_TTL',
    );
  }
  if (tokens.refreshMaxSeconds < tokens.refreshIdleSeconds) {
    read.problem(
      'REFRESH_MAX_TTL',
      'it is shorter than REFRESH_IDLE_TTL',
      'Raise it, or lower REFRESH_IDLE_TTL',
    );
  }
  return tokens;
}

function connectionsOf(read: Reader): Config['connections'] {
  const connections = {
    max: read.whole('MAX_CONNECTIONS'),
    maxPerAddress: read.whole('MAX_CONNECTIONS_PER_ADDRESS'),
  };
  if (connections.maxPerAddress > connections.max) {
    read.problem(
      'MAX_CONNECTIONS_PER_ADDRESS',
      'it is more than MAX_CONNECTIONS',
      'Lower it, or raise MAX_CONNECTIONS',
    );
  }
  return connections;
}

function tlsOf(read: Reader): Config['tls'] {
  const certFile = read.optionalPath('TLS_CERT_FILE');
  const keyFile = read.optionalPath('TLS_KEY_FILE');
  const clientCaFile = read.optionalPath('TLS_CLIENT_CA_FILE');
  if (certFile !== undefined && keyFile !== undefined) {
    return { certFile, keyFile, ...given({ clientCaFile }) };
  }
  if (clientCaFile !== undefined && certFile === keyFile) {
    read.problem(
      'TLS_CLIENT_CA_FILE',
      'client certificates are shown over TLS only, which is off',
      'Set TLS_CERT_FILE and TLS_KEY_FILE too',
    );
  }
  if (certFile !== undefined || keyFile !== undefined) {
    const [missing, there] =
      keyFile === undefined ? ['TLS_KEY_FILE', 'TLS_CERT_FILE'] : ['TLS_CERT_FILE', 'TLS_KEY_FILE'];
    read.problem(missing, `it is missing while ${there} is set`, 'Set both, or neither');
  }
  return undefined;
}
