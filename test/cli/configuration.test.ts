import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { permissionSettings } from '../../src/config/settings/permissions.js';
import { type Finished, runProgram, startProgram, temporaryFolder } from '../resilience/process.js';
import { hostedCommands } from './hosted-commands.js';

/** Nothing of what follows may get as far as opening this: the port answers nobody. */
const NO_DATABASE = 'postgres://someone:hunter2@127.0.0.1:9/countersign';

const KEY = randomBytes(32).toString('base64');

/** Off loopback in every way that has a permission of its own; all the rest as it should be. */
const EXPOSED = {
  LISTEN_ADDRESS: '0.0.0.0:0',
  HTTP_ADDRESS: '127.0.0.1:0',
  TOKEN_ISSUER: 'https://id.example.com',
  TOKEN_AUDIENCE: 'example',
  MAIL_TRANSPORT: 'console',
  SMS_TRANSPORT: 'file:sms.jsonl',
};

const DANGERS: Readonly<Record<string, string>> = {
  ALLOW_PLAINTEXT: 'LISTEN_ADDRESS: gRPC on 0.0.0.0:0 would be served without TLS',
  ALLOW_EMBEDDED_DATABASE: 'DATABASE_URL: it is not set',
  ALLOW_MEMORY_LIMITS: 'REDIS_URL: it is not set',
  ALLOW_CONSOLE_TRANSPORT: 'MAIL_TRANSPORT: messages with their codes would go to standard output',
  ALLOW_FILE_TRANSPORT: 'SMS_TRANSPORT: messages with their codes would go to a file',
};

/** One line for each problem that was reported. */
function problemsOf({ code, stdout, stderr }: Finished): readonly string[] {
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).not.toMatch(/^ {4}at /m);
  const lines = stderr.trimEnd().split('\n');
  expect(lines[0]).toMatch(/^countersign: The configuration has \d+ problems?:$/);
  return lines.slice(1).map((line) => line.trim());
}

describe('a configuration that will not do', { timeout: 60_000 }, () => {
  const run = hostedCommands();

  it('is refused with every problem at once, and quotes no secret', async () => {
    const finished = await runProgram(['serve'], {
      LISTEN_ADDRESS: 'somewhere',
      CODE_LENGTH: '99',
      CODE_TTL: 'soon',
      MAIL_TRANSPORT: 'pigeon',
      DATABASE_URL: NO_DATABASE.replace('postgres:', 'mysql:'),
      CODE_KEYS: 'hunter2',
      LIMIT_CALLS_PER_SOURCE: 'many',
      TLS_CERT_FILE: 'cert.pem',
    });
    const problems = problemsOf(finished);
    const names = problems.map((line) => line.slice(0, line.indexOf(':')));
    expect(names.toSorted()).toEqual([
      'CODE_KEYS',
      'CODE_LENGTH',
      'CODE_TTL',
      'DATABASE_URL',
      'LIMIT_CALLS_PER_SOURCE',
      'LISTEN_ADDRESS',
      'MAIL_TRANSPORT',
      'TLS_KEY_FILE',
    ]);
    expect(finished.stderr).not.toContain('hunter2');
  });

  it.each(['migrate', 'caller'])('stops %s as well, before anything is opened', async (name) => {
    const args = name === 'caller' ? ['caller', 'list'] : [name];
    const finished = await run(args, { CODE_LENGTH: '99', DATABASE_URL: NO_DATABASE });
    expect(problemsOf(finished)).toEqual([expect.stringMatching(/^CODE_LENGTH: /)]);
  });

  it('knows of no permission that these tests do not', () => {
    // Anonymous callers are refused call by call, and short codes on loopback too.
    const tested = [...Object.keys(DANGERS), 'ALLOW_ANONYMOUS_CALLERS', 'ALLOW_SHORT_CODES'];
    expect(Object.keys(permissionSettings).toSorted()).toEqual(tested.toSorted());
  });

  it('off loopback names every danger at once (rule 24)', async () => {
    const problems = problemsOf(await run(['serve'], EXPOSED));
    expect(problems).toHaveLength(Object.keys(DANGERS).length);
    for (const [permission, complaint] of Object.entries(DANGERS)) {
      const line = problems.find((problem) => problem.startsWith(complaint));
      expect(line).toContain(`or permit it with ${permission}=true`);
    }
  });

  it.each(Object.entries(DANGERS))(
    'off loopback is refused for lack of %s alone (rule 24)',
    async (missing, complaint) => {
      const others = Object.keys(DANGERS).filter((name) => name !== missing);
      const permitted = Object.fromEntries(others.map((name) => [name, 'true']));
      const problems = problemsOf(await run(['serve'], { ...EXPOSED, ...permitted }));
      expect(problems).toEqual([expect.stringContaining(complaint)]);
      expect(problems[0]).toContain(`${missing}=true`);
    },
  );

  it('off loopback wants keys that every replica shares (rule 24)', async () => {
    const permitted = Object.fromEntries(Object.keys(DANGERS).map((name) => [name, 'true']));
    const env = { ...EXPOSED, ...permitted, DATABASE_URL: NO_DATABASE, CODE_KEYS: KEY };
    const problems = problemsOf(await run(['serve'], env));
    expect(problems).toEqual([
      expect.stringMatching(/^TOKEN_KEYS: /),
      expect.stringMatching(/^DATA_KEYS: /),
    ]);
  });

  it('starts off loopback once each danger is permitted, and says what runs (rule 24)', async () => {
    await using folder = await temporaryFolder();
    const permitted = Object.fromEntries(Object.keys(DANGERS).map((name) => [name, 'true']));
    const env = { ...EXPOSED, ...permitted, DATA_DIR: folder.path, LOG_LEVEL: 'error' };
    // Without a caller nobody could be served: then anonymous ones have to be permitted by name.
    expect(problemsOf(await runProgram(['serve'], env, folder.path))).toEqual([
      expect.stringMatching(/^ALLOW_ANONYMOUS_CALLERS: .*countersign caller add NAME/),
    ]);
    const added = await runProgram(['caller', 'add', 'shop'], env, folder.path);
    const server = await startProgram(['serve'], env, folder.path);
    await server.printed(/^listening on 0\.0\.0\.0:\d+$/m);
    expect(server.stdout).toMatch(/^ {2}callers +with a key$/m);
    expect(server.stdout).toMatch(/^ {2}transport +plaintext$/m);
    server.kill('SIGTERM');
    expect(await server.exited).toBe(0);

    // A caller whose only key is revoked is as good as none.
    const keyHash = createHash('sha256').update(/^key {5}(\S+)$/m.exec(added.stdout)?.[1] ?? '');
    const keyId = keyHash.digest('hex').slice(0, 8);
    const revoked = await runProgram(['caller', 'revoke-key', 'shop', keyId], env, folder.path);
    expect(revoked.stdout).toBe(`revoked ${keyId} of shop\n`);
    const problems = problemsOf(await runProgram(['serve'], env, folder.path));
    expect(problems).toEqual([expect.stringMatching(/^ALLOW_ANONYMOUS_CALLERS: /)]);
    const anonymous = { ...env, ALLOW_ANONYMOUS_CALLERS: 'true' };
    const open = await startProgram(['serve'], anonymous, folder.path);
    await open.printed(/^ {2}callers +anonymous ones too$/m);
    open.kill('SIGKILL');
    await open.exited;
  });

  it('refuses a keys file that others can read, without a word of what is in it', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'keys.json');
    await writeFile(path, JSON.stringify({ format: 1, code: [KEY] }), { mode: 0o644 });
    const { code, stderr } = await runProgram(['serve'], {
      LISTEN_ADDRESS: '127.0.0.1:0',
      HTTP_ADDRESS: '127.0.0.1:0',
      DATA_DIR: folder.path,
    });
    expect(code).toBe(1);
    expect(stderr).toContain('chmod 600');
    expect(stderr).not.toContain(KEY);
    expect(stderr).not.toMatch(/^ {4}at /m);
  });

  it('says that PostgreSQL is away, and neither its password nor a stack', async () => {
    for (const args of [['serve'], ['migrate'], ['caller', 'list']]) {
      const { code, stderr } = await runProgram(args, { DATABASE_URL: NO_DATABASE });
      expect(code).toBe(1);
      expect(stderr).toMatch(/^countersign: .*database of DATABASE_URL .*connection refused/m);
      expect(stderr).not.toContain('hunter2');
      expect(stderr).not.toMatch(/^ {4}at /m);
    }
  });
});
