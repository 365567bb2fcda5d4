import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from '../../src/config/index.js';
import { PRODUCTION, problemsOf } from './support.js';

describe('loadConfig', () => {
  it('runs in development without any setting', () => {
    const config = loadConfig({});

    expect(config).toMatchObject({
      listen: { host: '127.0.0.1', port: 50_051 },
      http: { host: '127.0.0.1', port: 9_464 },
      development: true,
      database: { poolSize: 10, prepareStatements: true },
      dataDir: './.countersign',
      mail: 'console',
      sms: 'console',
      codes: { length: 6, ttlSeconds: 300, cooldownSeconds: 60 },
      guesses: { maxFailures: 5, lockoutSeconds: 900 },
      promote: { email: 'automatic', sms: 'automatic' },
      proofCollision: 'refuse',
      anonymousCallers: true,
      callTimeoutMs: 15_000,
      drainTimeoutMs: 20_000,
      logLevel: 'info',
      limits: {},
    });
    expect(config.tokens).toEqual({
      issuer: 'countersign',
      audience: 'countersign',
      accessTtlSeconds: 15 * 60,
      signingKeyLifetimeSeconds: 90 * 86_400,
      refreshIdleSeconds: 30 * 86_400,
      refreshMaxSeconds: 90 * 86_400,
    });
    expect(config.database).not.toHaveProperty('url');
    expect(config).not.toHaveProperty('redis');
    expect(config).not.toHaveProperty('tls');
    expect(config.keys).toEqual({});
  });

  it('takes every setting from the environment', () => {
    const config = loadConfig({
      ...PRODUCTION,
      DATABASE_POOL_SIZE: '3',
      REDIS_KEY_PREFIX: 'one:',
      CODE_LENGTH: '8',
      CODE_TTL: '10m',
      RESEND_COOLDOWN: '2m',
      MAX_FAILED_ATTEMPTS: '3',
      LOCKOUT_DURATION: '1h',
      PROMOTE_EMAIL: 'manual',
      PROMOTE_PHONE: 'off',
      PROOF_COLLISION: 'contact',
      DEFAULT_REGION: 'vn',
      SMS_ALLOWED_REGIONS: 'vn, SG,+883',
      PASSWORD_MIN_LENGTH: '15',
      ARGON2_MEMORY_KIB: '65536',
      ARGON2_ITERATIONS: '3',
      ARGON2_PARALLELISM: '2',
      HASH_CONCURRENCY: '2',
      HASH_QUEUE_LIMIT: '7',
      CALL_TIMEOUT: '5s',
      DRAIN_NOTICE: '15s',
      DRAIN_TIMEOUT: '1m',
      LOG_LEVEL: 'warn',
      ALLOW_ANONYMOUS_CALLERS: '1',
      LIMIT_SIGN_INS_PER_SOURCE: '3/10m',
    });

    expect(config).toMatchObject({
      development: false,
      database: { poolSize: 3, prepareStatements: true },
      redis: { url: 'rediss://cache.internal:6380', keyPrefix: 'one:' },
      mail: 'file:/var/lib/countersign/messages.jsonl',
      codes: { length: 8, ttlSeconds: 600, cooldownSeconds: 120 },
      guesses: { maxFailures: 3, lockoutSeconds: 3_600 },
      promote: { email: 'manual', sms: 'off' },
      proofCollision: 'contact',
      defaultRegion: 'VN',
      passwords: {
        minLength: 15,
        argon2: { memoryKib: 65_536, iterations: 3, parallelism: 2 },
        hashConcurrency: 2,
        hashQueueLimit: 7,
      },
      tls: { certFile: '/etc/countersign/tls.crt', keyFile: '/etc/countersign/tls.key' },
      anonymousCallers: true,
      callTimeoutMs: 5_000,
      drainNoticeMs: 15_000,
      drainTimeoutMs: 60_000,
      logLevel: 'warn',
      limits: { signInsPerSource: { points: 3, windowSeconds: 600 } },
    });
    expect(config.phone.allowedRegions).toEqual(new Set(['VN', 'SG', '+883']));
  });

  it('takes an empty string for absent', () => {
    expect(loadConfig({ DATABASE_URL: '', CODE_LENGTH: '', DEFAULT_REGION: '' })).toEqual(
      loadConfig({}),
    );
  });

  it('reports every problem at once, each with what to do', () => {
    const env = {
      LISTEN_ADDRESS: 'nowhere',
      CODE_TTL: '11m',
      LOG_LEVEL: 'loud',
      DATABASE_URL: 'mysql://root:hunter2@db/x',
      CODE_KEYS: 'c2VjcmV0',
      TLS_CERT_FILE: 'cert.pem',
      LIMIT_SMS_IN_ALL: 'many',
      ALLOW_PLAINTEXT: 'yes',
    };
    const problems = problemsOf(env);

    expect(problems.map(({ name }) => name).sort()).toEqual(
      [...Object.keys(env).filter((name) => name !== 'TLS_CERT_FILE'), 'TLS_KEY_FILE'].sort(),
    );
    for (const { wrong, remedy } of problems) {
      expect(wrong).toMatch(/\w/);
      expect(remedy).toMatch(/^[A-Z]/);
    }
  });

  it('says in its message what the problems are, and never a value that may be secret (rule 22)', () => {
    const load = () => loadConfig({ DATABASE_URL: 'mysql://root:hunter2@db/x', CODE_KEYS: 'c2Vj' });

    expect(load).toThrow(ConfigError);
    expect(load).toThrow(/2 problems:\n {2}DATABASE_URL: .+\n {2}CODE_KEYS: .+/);
    expect(load).not.toThrow(/hunter2|c2Vj/);
  });

  it('leaves variables alone that are not its business', () => {
    expect(
      loadConfig({ LIMIT_OF_SOMEBODY_ELSE: 'x', TOKEN: 'y', ALLOW_ANYTHING: 'maybe' }),
    ).toEqual(loadConfig({}));
  });

  it.each([
    ['CODE_LENGTH', ['6', '8'], ['3', '9', '0', '6.0', '0x6', '١', '+6', ' 6', '06']],
    ['CODE_TTL', ['1m', '10m', '600s'], ['59s', '601s', '0s', '5', '5 m', '-5m', '1e2s', '5M']],
    ['RESEND_COOLDOWN', ['1s', '1h'], ['0s', '2h']],
    ['MAX_FAILED_ATTEMPTS', ['1', '20'], ['0', '21']],
    ['LOCKOUT_DURATION', ['1s', '24h', '1d'], ['0s', '25h']],
    ['PASSWORD_MIN_LENGTH', ['8', '256'], ['7', '257']],
    ['ARGON2_MEMORY_KIB', ['19456'], ['19455', '8', '99999999999']],
    ['ARGON2_ITERATIONS', ['2', '64'], ['1', '65']],
    ['ARGON2_PARALLELISM', ['1', '64'], ['0', '65']],
    ['HASH_CONCURRENCY', ['1'], ['0', '257']],
    ['DATABASE_POOL_SIZE', ['1'], ['0', '1001']],
    ['DATABASE_URL', ['postgres://u@h/d', 'postgresql:///d'], ['http://h/d', 'h:5432', 'postgres']],
    [
      'REDIS_URL',
      ['redis://h', 'rediss://h:1', 'redis+cluster://a:1,b', 'rediss+sentinel://a,b/name'],
      ['http://h', '127.0.0.1:6379', 'redis://a,b', 'redis+sentinel://a,b'],
    ],
    ['REDIS_KEY_PREFIX', ['a:'], ['a b', 'é', 'a\n', 'x'.repeat(65), '{a}:', 'a{']],
    ['MAIL_TRANSPORT', ['console', 'file:out.jsonl'], ['file:', 'smtp://x', 'Console']],
    ['DEFAULT_REGION', ['VN', 'sg'], ['ZZ', 'Vietnam', '84']],
    ['SMS_ALLOWED_REGIONS', ['VN', '+883,SG'], ['VN,', 'VN;SG', 'XX', '+0']],
    ['PROOF_COLLISION', ['contact'], ['Contact', 'allow']],
    ['ALLOW_MEMORY_LIMITS', ['true', 'false', '1', '0'], ['yes', 'TRUE', '2']],
    [
      'LIMIT_CALLS_PER_SOURCE',
      ['30/1m', '1/30d'],
      ['0/1m', '30', '30/1', '30/0s', '1/31d', '-1/1m'],
    ],
    ['ACCESS_TOKEN_TTL', ['5s', '1h'], ['4s', '2h']],
  ])('bounds %s', (name, accepted, refused) => {
    for (const value of accepted) expect(problemsOf({ [name]: value }), value).toEqual([]);
    for (const value of refused) {
      expect(
        problemsOf({ [name]: value }).map((problem) => problem.name),
        value,
      ).toEqual([name]);
    }
  });

  it('takes authorities of clients beside the pair, and not without it', () => {
    const pair = { TLS_CERT_FILE: 'c.pem', TLS_KEY_FILE: 'k.pem' };
    expect(loadConfig({ ...pair, TLS_CLIENT_CA_FILE: 'ca.pem' }).tls).toEqual({
      certFile: 'c.pem',
      keyFile: 'k.pem',
      clientCaFile: 'ca.pem',
    });
    expect(problemsOf({ TLS_CLIENT_CA_FILE: 'ca.pem' }).map(({ name }) => name)).toEqual([
      'TLS_CLIENT_CA_FILE',
    ]);
  });

  it('takes no more connections of one address than there may be', () => {
    const { connections } = loadConfig({ MAX_CONNECTIONS: '512' });
    expect(connections).toEqual({ max: 512, maxPerAddress: 512 });
    expect(problemsOf({ MAX_CONNECTIONS: '511' }).map(({ name }) => name)).toEqual([
      'MAX_CONNECTIONS_PER_ADDRESS',
    ]);
  });

  it('takes the channels of a recovery in their order', () => {
    expect(loadConfig({}).recovery).toEqual({ delivery: 'typed', channels: ['sms', 'email'] });
    const { recovery } = loadConfig({
      RECOVERY_DELIVERY: 'registered',
      RECOVERY_CHANNEL_ORDER: 'email',
    });
    expect(recovery).toEqual({ delivery: 'registered', channels: ['email'] });
    expect(problemsOf({ RECOVERY_CHANNEL_ORDER: 'email,fax' })).toMatchObject([
      { name: 'RECOVERY_CHANNEL_ORDER' },
    ]);
  });

  it('takes a direct URL beside that of the pooler only', () => {
    const [DATABASE_URL, DATABASE_DIRECT_URL] = ['postgres://pooler/c', 'postgres://server/c'];
    expect(problemsOf({ DATABASE_DIRECT_URL })).toMatchObject([{ name: 'DATABASE_DIRECT_URL' }]);
    const { database } = loadConfig({
      DATABASE_URL,
      DATABASE_DIRECT_URL,
      DATABASE_PREPARED_STATEMENTS: 'off',
    });
    expect(database).toEqual({
      url: DATABASE_URL,
      directUrl: DATABASE_DIRECT_URL,
      poolSize: 10,
      prepareStatements: false,
    });
  });

  it('keeps the lifetimes of a session in order', () => {
    const names = (env: Record<string, string>) => problemsOf(env).map(({ name }) => name);

    expect(names({ REFRESH_IDLE_TTL: '10m' })).toEqual(['REFRESH_IDLE_TTL']);
    expect(names({ REFRESH_MAX_TTL: '29d' })).toEqual(['REFRESH_MAX_TTL']);
  });

  it('refuses short codes unless they are permitted by name', () => {
    expect(problemsOf({ CODE_LENGTH: '5' })).toMatchObject([
      { name: 'CODE_LENGTH', remedy: expect.stringContaining('ALLOW_SHORT_CODES=true') },
    ]);
    expect(loadConfig({ CODE_LENGTH: '4', ALLOW_SHORT_CODES: 'true' }).codes.length).toBe(4);
  });

  it('refuses two listeners on one port, except on ports that the system picks', () => {
    const one = '127.0.0.1:50051';
    expect(problemsOf({ HTTP_ADDRESS: one })).toMatchObject([{ name: 'HTTP_ADDRESS' }]);
    expect(problemsOf({ LISTEN_ADDRESS: '[::1]:0', HTTP_ADDRESS: '[::1]:0' })).toEqual([]);
  });
});
