import { existsSync } from 'node:fs';
import { readFile, stat } from 'node:fs/promises';
import { connect } from 'node:net';
import { networkInterfaces } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { createCountersignClient } from '../../src/client/index.js';
import {
  runProgram,
  type ServerProcess,
  startServer,
  temporaryFolder,
} from '../resilience/process.js';
import { PASSWORD, unique } from '../support/people.js';

/** An address of this machine that is not loopback. */
function outerAddress(): string | undefined {
  const all = Object.values(networkInterfaces()).flatMap((addresses) => addresses ?? []);
  return all.find(({ family, internal }) => family === 'IPv4' && !internal)?.address;
}

function accepts(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect({ host, port, timeout: 2_000 });
    const end = (answer: boolean) => (): void => {
      socket.destroy();
      resolve(answer);
    };
    socket.once('connect', end(true)).once('error', end(false)).once('timeout', end(false));
  });
}

describe('a server on nothing but defaults', { timeout: 60_000 }, () => {
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  /** Of other servers: a new database takes seconds to make, and these need none of their own. */
  let other: Awaited<ReturnType<typeof temporaryFolder>>;
  let server: ServerProcess;

  beforeAll(async () => {
    folder = await temporaryFolder();
    other = await temporaryFolder();
    server = await startServer({ DATA_DIR: folder.path });
  });
  afterAll(async () => {
    await server?.[Symbol.asyncDispose]();
    await folder?.[Symbol.asyncDispose]();
    await other?.[Symbol.asyncDispose]();
  });

  it('says where it listens, what runs on what, and what to try next', () => {
    const { stdout, address, httpAddress } = server;
    const rows = {
      database: `embedded database in ${join(folder.path, 'db')}`,
      limits: 'in memory, for one process',
      mail: 'console',
      sms: 'console',
      keys: `made in ${join(folder.path, 'keys.json')}`,
      callers: 'anonymous ones too',
      transport: 'plaintext',
      http: `http://${httpAddress}/.well-known/jwks.json`,
    };
    const lines = stdout.split('\n');
    for (const [name, value] of Object.entries(rows)) {
      const line = lines.find((one) => one.trimStart().startsWith(name));
      expect(line?.slice(line.indexOf(name) + name.length).trim()).toContain(value);
    }
    expect(address).toMatch(/^127\.0\.0\.1:[1-9]\d*$/);
    expect(lines.filter((line) => line === `listening on ${address}`)).toHaveLength(1);
    expect(stdout).toContain(`http://${address}/countersign.v1.AuthService/SignUp`);
  });

  it('answers the call that it says to try', async () => {
    const body = /-d '(\{.*\})'/.exec(server.stdout)?.[1] ?? '';
    const request = JSON.parse(body) as { username: string; password: string };
    await using client = createCountersignClient({ address: server.address, deadlineMs: 15_000 });
    const { account, tokens } = await client.auth.signUp(request);
    expect(account?.identifiers.map(({ value }) => value)).toEqual([request.username]);
    expect(tokens?.accessToken).not.toBe('');
  });

  it('prints codes on standard output and never in its log (M1, O5)', async () => {
    await using client = createCountersignClient({ address: server.address, deadlineMs: 15_000 });
    const phoneNumber = unique.phone();
    await client.auth.signUp({ username: unique.username(), password: PASSWORD, phoneNumber });
    const at = server.stdout.length;
    const [code = ''] = await server.printed(/(?<![0-9+])\d{6}(?!\d)/);
    expect(at).toBeGreaterThan(0);
    expect(server.stdout).toContain(phoneNumber);
    expect(server.stderr).not.toContain(code);
    expect(server.stderr).not.toContain(phoneNumber);
    expect(server.stderr).not.toContain(PASSWORD);
  });

  it('cannot be reached from outside this machine (rule 24)', async () => {
    const ports = [server.address, server.httpAddress].map((address) =>
      Number(address.split(':').at(-1)),
    );
    const outer = outerAddress();
    for (const port of ports) {
      expect(await accepts('127.0.0.1', port)).toBe(true);
      if (outer !== undefined) expect(await accepts(outer, port)).toBe(false);
    }
  });

  it('keeps its folder and its keys to its own user (rule 19)', async () => {
    const modes = await Promise.all(
      ['keys.json', 'db'].map((name) => stat(join(folder.path, name))),
    );
    for (const { mode } of modes) expect(mode & 0o077).toBe(0);
    expect(await readFile(join(folder.path, 'keys.json'), 'utf8')).toContain('"format": 1');
  });

  it.each([['serve'], ['migrate'], ['caller list']])(
    'is the only process on its folder: %s is told who has it',
    async (command) => {
      const { code, stdout, stderr } = await runProgram(command.split(' '), {
        LISTEN_ADDRESS: '127.0.0.1:0',
        HTTP_ADDRESS: '127.0.0.1:0',
        DATA_DIR: folder.path,
      });
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toContain(`DATA_DIR ${folder.path} is in use by process ${server.pid}`);
      expect(stderr).toMatch(/stop that one, use another DATA_DIR, or set DATABASE_URL/);
      expect(stderr).not.toMatch(/^ {4}at /m);
    },
  );

  it.each(['LISTEN_ADDRESS', 'HTTP_ADDRESS'] as const)(
    'says that the port of %s is in use',
    async (name) => {
      const taken = name === 'LISTEN_ADDRESS' ? server.address : server.httpAddress;
      const { code, stdout, stderr } = await runProgram(['serve'], {
        LISTEN_ADDRESS: '127.0.0.1:0',
        HTTP_ADDRESS: '127.0.0.1:0',
        DATA_DIR: other.path,
        LOG_LEVEL: 'error',
        [name]: taken,
      });
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      // The gRPC library may have said something in its own words before.
      expect(stderr.trimEnd().split('\n').at(-1)).toBe(
        `countersign: cannot listen on ${taken}: the port is in use. Free it, or change ${name}.`,
      );
      expect(stderr).not.toMatch(/^ {4}at /m);
    },
  );

  it('picks loopback when nothing says where to listen (rule 24)', async () => {
    // The default ports may be taken on this machine: then it says so, and names them.
    await using listening = await startServer({
      DATA_DIR: other.path,
      LISTEN_ADDRESS: '',
      HTTP_ADDRESS: '',
    }).catch((error: Error) => ({ address: error.message, [Symbol.asyncDispose]: async () => {} }));
    expect(listening.address).toMatch(/127\.0\.0\.1:(50051|9464)/);
  });
});

describe('keys from the environment', { timeout: 60_000 }, () => {
  it('are accepted as `keys generate` prints them, and nothing is kept in the folder', async () => {
    const { stdout } = await runProgram(['keys', 'generate']);
    const keys = Object.fromEntries(
      stdout
        .trimEnd()
        .split('\n')
        .map((line): [string, string] => [
          line.slice(0, line.indexOf('=')),
          line.slice(line.indexOf('=') + 1),
        ]),
    );
    await using folder = await temporaryFolder();
    await using server = await startServer({ ...keys, DATA_DIR: folder.path });
    expect(server.stdout).toMatch(/^ {2}keys +from the environment$/m);
    expect(existsSync(join(folder.path, 'keys.json'))).toBe(false);
    await using client = createCountersignClient({ address: server.address, deadlineMs: 15_000 });
    const username = unique.username();
    await client.auth.signUp({ username, password: PASSWORD });
    expect(
      (await client.auth.signIn({ identifier: username, password: PASSWORD })).tokens?.tokenType,
    ).toBe('Bearer');
    for (const line of Object.values(keys))
      expect(server.stdout + server.stderr).not.toContain(line);
  });
});
