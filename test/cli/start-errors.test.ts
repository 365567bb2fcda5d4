import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { chmod, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, it } from 'vitest';
import { type Finished, runProgram, startServer, temporaryFolder } from '../resilience/process.js';
import { describePostgres, describeWithoutStore, postgresUrl } from '../support/databases.js';

const run = promisify(execFile);
const PORTS = { LISTEN_ADDRESS: '127.0.0.1:0', HTTP_ADDRESS: '127.0.0.1:0', LOG_LEVEL: 'error' };

/** The same for both of its tests, which share a database. */
const KEYS = {
  TOKEN_KEYS: randomBytes(32).toString('base64'),
  DATA_KEYS: randomBytes(32).toString('base64'),
};

/** What was said instead of a stack: one line, or a line for the configuration and one for its problem. */
function said({ code, stdout, stderr }: Finished): string {
  expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
  expect(stderr).not.toMatch(/^ {4}at /m);
  expect(stderr.trimEnd().split('\n').length).toBeLessThanOrEqual(2);
  return stderr;
}

describeWithoutStore('a start that fails', { timeout: 60_000 }, () => {
  const serve = (env: Readonly<Record<string, string>>): Promise<Finished> =>
    runProgram(['serve'], { ...PORTS, ...env });

  it('names the file of TLS that is missing, unfit, or not the other one', async () => {
    await using folder = await temporaryFolder();
    const file = (name: string): string => join(folder.path, name);
    for (const name of ['one', 'two']) {
      const [cert, key] = [file(`${name}.crt`), file(`${name}.key`)];
      const curve = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1'];
      const args = ['-x509', ...curve, '-nodes', '-days', '2', '-subj', '/CN=localhost'];
      await run('openssl', ['req', ...args, '-keyout', key, '-out', cert]);
    }
    await writeFile(file('text'), 'no PEM\n');
    const tried = async (cert: string, key: string): Promise<string> =>
      said(
        await serve({
          DATA_DIR: folder.path,
          TLS_CERT_FILE: file(cert),
          TLS_KEY_FILE: file(key),
        }),
      );
    expect(await tried('one.crt', 'missing')).toMatch(/TLS_KEY_FILE: .*missing cannot be read/);
    expect(await tried('text', 'one.key')).toMatch(/TLS_CERT_FILE: .*text holds no PEM/);
    expect(await tried('one.crt', 'text')).toMatch(/TLS_KEY_FILE: .*text holds no usable/);
    expect(await tried('one.crt', 'two.key')).toMatch(
      /TLS_CERT_FILE, TLS_KEY_FILE: the key does not belong to the certificate/,
    );
  });

  it('names the transport whose target is a FIFO, a folder, or in /proc, and does not freeze', async () => {
    await using folder = await temporaryFolder();
    const fifo = join(folder.path, 'fifo');
    await run('mkfifo', [fifo]);
    const tried = async (name: string, path: string): Promise<string> =>
      said(await serve({ DATA_DIR: folder.path, [name]: `file:${path}` }));
    expect(await tried('MAIL_TRANSPORT', fifo)).toMatch(/MAIL_TRANSPORT: .*fifo/);
    expect(await tried('SMS_TRANSPORT', folder.path)).toMatch(/SMS_TRANSPORT: .*\(EISDIR\)/);
    expect(await tried('SMS_TRANSPORT', '/proc/nowhere/sms')).toMatch(/SMS_TRANSPORT: .*\/proc/);
  });

  it('does not take a keys file that cannot be opened for a database that is away', async () => {
    await using folder = await temporaryFolder();
    const path = join(folder.path, 'keys.json');
    await writeFile(path, '{', { mode: 0o600 });
    await chmod(path, 0o600);
    expect(said(await serve({ DATA_DIR: folder.path }))).toContain(`${path} cannot be used`);
  });

  it('says in the banner, and once in the log, that Redis does not answer', async () => {
    await using folder = await temporaryFolder();
    await using server = await startServer({
      DATA_DIR: folder.path,
      REDIS_URL: 'redis://127.0.0.1:9',
    });
    expect(server.stdout).toMatch(/^ {2}limits +Redis, which does not answer: stricter/m);
    expect(server.stderr.match(/Redis does not answer/g)).toHaveLength(1);
  });
});

describePostgres('a start on PostgreSQL that fails', (database) => {
  const withUrl = (change: (url: URL) => void): string => {
    const url = new URL(postgresUrl());
    change(url);
    return url.href;
  };

  it('says that the database is missing, or the role unknown', { timeout: 60_000 }, async () => {
    const missing = withUrl((url) => {
      url.pathname = '/countersign_test_not_there';
    });
    for (const args of [['serve'], ['migrate'], ['caller', 'list']]) {
      const finished = await runProgram(args, { ...PORTS, DATABASE_URL: missing });
      // `migrate` begins with the name of the database that it is about to use.
      const text = said({ ...finished, stdout: args[0] === 'migrate' ? '' : finished.stdout });
      expect(text).toMatch(/DATABASE_URL .*no database of that name.*createdb/);
    }
    const stranger = withUrl((url) => {
      url.username = 'countersign_test_nobody';
      url.password = 'hunter2';
    });
    const text = said(await runProgram(['serve'], { ...PORTS, DATABASE_URL: stranger }));
    expect(text).toMatch(/DATABASE_URL .*role/);
    expect(text).not.toContain('hunter2');
  });

  it.each(['DATA_KEYS', 'TOKEN_KEYS'] as const)(
    'names %s where the database was sealed under other keys',
    { timeout: 60_000 },
    async (name) => {
      const key = (): string => randomBytes(32).toString('base64');
      const env = {
        ...PORTS,
        DATABASE_URL: database().url,
        CODE_KEYS: key(),
        ...KEYS,
      };
      const server = await startServer(env);
      await server[Symbol.asyncDispose]();
      const other = key();
      const text = said(await runProgram(['serve'], { ...env, [name]: other }));
      expect(text).toMatch(new RegExp(`^  ${name}: .*sealed under a key that is not among`, 'm'));
      expect(text).not.toContain(other);
    },
  );
});
