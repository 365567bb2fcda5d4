import { execFile } from 'node:child_process';
import { appendFile, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';
import { codesInFile, walkThrough } from '../../examples/clients/walk-through.js';
import { HTTP_STATUS_BY_CODE, HTTP_STATUS_BY_REASON } from '../../src/client/index.js';
import { playAccount, startFakeAuthService } from './fake-auth-service.js';
import { AUDIENCE, ISSUER, makeSigner, startKeyServer } from './token-lab.js';

describe('the example of docs/clients.md', () => {
  it('runs from sign-up to the mapping of a failure to HTTP', async () => {
    const signer = await makeSigner();
    const keys = await startKeyServer(signer.jwk);
    const fake = await startFakeAuthService();
    // The example's verifier goes by the real clock.
    const now = Math.floor(Date.now() / 1_000);
    const codes = playAccount(fake, () =>
      signer.token({ iat: now, exp: now + 900, auth_time: now }),
    );
    const lines: string[] = [];
    await walkThrough({
      address: fake.address,
      jwksUrl: keys.url,
      issuer: ISSUER,
      audience: AUDIENCE,
      readCode: async (to) => codes.get(to) ?? '',
      print: (line) => lines.push(line),
    });
    expect(lines).toEqual([
      'signed up: account-1, 2 codes sent',
      expect.stringMatching(/^confirmed: an\w{12}@example\.com \(verified: true\)$/),
      expect.stringMatching(/^confirmed: \+8490\d{7} \(verified: true\)$/),
      'signed in by phone: Bearer token for 900 s',
      'verified offline: account account-1 acts in org-1',
      'an owner there: true',
      'HTTP 401 {}',
      'en: These sign-in details are not right.',
      'vi: Thông tin đăng nhập không đúng.',
    ]);
    expect(fake.seen.map(({ rpc }) => rpc)).toEqual([
      'SignUp',
      'ConfirmEmail',
      'ConfirmPhoneNumber',
      'SignIn',
      'SignIn',
    ]);
    await fake[Symbol.asyncDispose]();
    await keys.stop();
  });

  it('runs from the command line, with the codes of a message file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'walk-through-'));
    const path = join(folder, 'messages.jsonl');
    const signer = await makeSigner();
    const keys = await startKeyServer(signer.jwk);
    const fake = await startFakeAuthService();
    const now = Math.floor(Date.now() / 1_000);
    playAccount(
      fake,
      () => signer.token({ iat: now, exp: now + 900, auth_time: now }),
      (to, code) => appendFile(path, `${JSON.stringify({ to, text: `Code: ${code}` })}\n`),
    );
    const script = fileURLToPath(
      new URL('../../examples/clients/walk-through.ts', import.meta.url),
    );
    const run = (...args: string[]) =>
      promisify(execFile)(process.execPath, ['--import', 'tsx', script, ...args], {
        timeout: 30_000,
      });
    const { stdout } = await run(fake.address, keys.url, ISSUER, AUDIENCE, path);
    expect(stdout.trimEnd().split('\n')).toHaveLength(9);
    await expect(run(fake.address)).rejects.toThrow(/usage: walk-through ADDRESS/);
    await fake[Symbol.asyncDispose]();
    await keys.stop();
    await rm(folder, { recursive: true });
  }, 60_000);

  it('reads the latest code for an address from a message file', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'walk-through-'));
    const path = join(folder, 'messages.jsonl');
    const line = (to: string, text: string) =>
      `${JSON.stringify({ channel: 'email', to, text, time: 'T' })}\n`;
    const half = line('a@example.com', 'code 999999').slice(0, -5);
    await writeFile(
      path,
      line('a@example.com', 'code 111111, 5 minutes') +
        line('b@example.com', '222222') +
        line('a@example.com', 'mã 033333.') +
        half,
    );
    const readCode = codesInFile(path);
    expect(await readCode('a@example.com')).toBe('033333');
    expect(await readCode('b@example.com')).toBe('222222');
    await rm(folder, { recursive: true });
  });

  it('stands in the document word for word', async () => {
    const read = (path: string) => readFile(new URL(path, import.meta.url), 'utf8');
    const [document, example] = await Promise.all([
      read('../../docs/clients.md'),
      read('../../examples/clients/walk-through.ts'),
    ]);
    const block = /<!-- examples\/clients\/walk-through\.ts -->\n```ts\n([\s\S]*?)```\n/.exec(
      document,
    )?.[1];
    expect(block).toBe(example);
  });

  it('stands beside the table of HTTP statuses that the code has', async () => {
    const document = await readFile(new URL('../../docs/clients.md', import.meta.url), 'utf8');
    const rows = [...document.matchAll(/^\| `([A-Z_]+)` \| (\d{3}) \|/gm)].map(
      ([, name, status]) => [name, Number(status)] as const,
    );
    expect(Object.fromEntries(rows)).toEqual({ ...HTTP_STATUS_BY_CODE, ...HTTP_STATUS_BY_REASON });
  });
});
