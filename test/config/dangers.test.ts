import { describe, expect, it } from 'vitest';
import { loadConfig } from '../../src/config/index.js';
import { PRODUCTION, problemsOf } from './support.js';

type Env = Record<string, string | undefined>;

/** Off loopback with everything dangerous, and the names that exist anyway. */
const BARE: Env = {
  LISTEN_ADDRESS: '0.0.0.0:50051',
  HTTP_ADDRESS: '0.0.0.0:9464',
  TOKEN_ISSUER: 'i',
  TOKEN_AUDIENCE: 'a',
  SMS_TRANSPORT: 'file:sms.jsonl',
};

const DANGERS = [
  ['ALLOW_PLAINTEXT', 'LISTEN_ADDRESS, HTTP_ADDRESS'],
  ['ALLOW_EMBEDDED_DATABASE', 'DATABASE_URL'],
  ['ALLOW_MEMORY_LIMITS', 'REDIS_URL'],
  ['ALLOW_CONSOLE_TRANSPORT', 'MAIL_TRANSPORT'],
  ['ALLOW_FILE_TRANSPORT', 'SMS_TRANSPORT'],
] as const;

describe('off loopback (rule 24)', () => {
  it('accepts what is safe', () => {
    expect(loadConfig(PRODUCTION)).toMatchObject({ development: false, anonymousCallers: false });
  });

  it('makes each danger one problem that names its permission', () => {
    expect(
      problemsOf(BARE).map(({ name, remedy }) => [/ALLOW_\w+/.exec(remedy)?.[0], name]),
    ).toEqual(DANGERS);
  });

  it.each(DANGERS)('lets %s permit its own danger and no other', (permission) => {
    const left = problemsOf({ ...BARE, [permission]: 'true' });

    expect(left.map(({ name }) => name)).toEqual(
      DANGERS.filter(([other]) => other !== permission).map(([, name]) => name),
    );
  });

  it('starts with every danger permitted by name', () => {
    const all = Object.fromEntries(DANGERS.map(([permission]) => [permission, 'true']));
    expect(loadConfig({ ...BARE, ...all })).toMatchObject({ development: false, mail: 'console' });
  });

  it('refuses nothing on loopback', () => {
    for (const host of ['127.0.0.1', '127.9.9.9', '[::1]', 'localhost', '[::ffff:127.0.0.1]']) {
      const env = { LISTEN_ADDRESS: `${host}:1`, HTTP_ADDRESS: `${host}:2` };
      expect(loadConfig(env).development, host).toBe(true);
    }
  });

  it('takes names and addresses of others for off loopback', () => {
    for (const host of [
      '0.0.0.0',
      '[::]',
      '10.0.0.1',
      '128.0.0.1',
      'localhost.example.com',
      'db',
    ]) {
      expect(loadConfig({ ...PRODUCTION, LISTEN_ADDRESS: `${host}:1` }).development, host).toBe(
        false,
      );
    }
  });

  it('is not development when only the HTTP side port is off loopback', () => {
    const env = { ...BARE, LISTEN_ADDRESS: '127.0.0.1:50051' };

    expect(problemsOf(env)[0]).toMatchObject({ name: 'HTTP_ADDRESS' });
    expect(problemsOf(env).map(({ remedy }) => /ALLOW_\w+/.exec(remedy)?.[0])).toEqual(
      DANGERS.map(([permission]) => permission),
    );
  });

  it('asks for a permission for the HTTP side port even where gRPC has TLS', () => {
    const env = { ...PRODUCTION, HTTP_ADDRESS: '0.0.0.0:9464' };

    expect(problemsOf(env)).toMatchObject([{ name: 'HTTP_ADDRESS' }]);
    expect(problemsOf({ ...env, ALLOW_PLAINTEXT: '1' })).toEqual([]);
  });

  it('refuses anonymous callers there unless they are permitted', () => {
    expect(loadConfig(PRODUCTION).anonymousCallers).toBe(false);
    expect(loadConfig({ ...PRODUCTION, ALLOW_ANONYMOUS_CALLERS: 'true' }).anonymousCallers).toBe(
      true,
    );
    expect(loadConfig({ ALLOW_ANONYMOUS_CALLERS: 'false' }).anonymousCallers).toBe(true);
  });

  it.each(['TOKEN_ISSUER', 'TOKEN_AUDIENCE', 'CODE_KEYS', 'TOKEN_KEYS', 'DATA_KEYS'])(
    'requires %s there, and not in development',
    (name) => {
      expect(problemsOf({ ...PRODUCTION, [name]: undefined })).toMatchObject([{ name }]);
      const local = { ...PRODUCTION, LISTEN_ADDRESS: '127.0.0.1:1', [name]: '' };
      expect(problemsOf(local)).toEqual([]);
    },
  );

  it('reports a wrong value once, not also as missing', () => {
    for (const name of [
      'DATABASE_URL',
      'REDIS_URL',
      'TOKEN_ISSUER',
      'CODE_KEYS',
      'ALLOW_FILE_TRANSPORT',
    ]) {
      const problems = problemsOf({ ...PRODUCTION, [name]: 'not good' });
      expect(problems.map((problem) => problem.name)).toEqual([name]);
    }
    const half = problemsOf({ ...PRODUCTION, TLS_KEY_FILE: '' });
    expect(half.map(({ name }) => name)).toEqual(['TLS_KEY_FILE']);
  });

  it("makes peppers nobody's duty", () => {
    expect(loadConfig(PRODUCTION).keys).not.toHaveProperty('peppers');
  });
});
