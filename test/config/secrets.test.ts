import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { chmod, mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { text } from 'node:stream/consumers';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { generateKeyLines, KeysFileError, loadConfig, loadKeys } from '../../src/config/index.js';
import { systemRandom } from '../../src/core/ids.js';
import { hexKey, PRODUCTION } from './support.js';

let folder: string;
const file = (): string => join(folder, 'data', 'keys.json');
const load = (env: Record<string, string> = {}) =>
  loadKeys(loadConfig({ DATA_DIR: join(folder, 'data'), ...env }));

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'countersign-keys-'));
});
afterEach(async () => {
  await rm(folder, { recursive: true, force: true });
});

describe('loadKeys', () => {
  it('makes what is not configured, for its owner alone, and reads it the next time', async () => {
    const first = await load();
    const again = await load();

    expect(first.madeIn).toBe(file());
    expect((await stat(join(folder, 'data'))).mode & 0o777).toBe(0o700);
    expect((await stat(file())).mode & 0o777).toBe(0o600);
    expect(await readdir(join(folder, 'data'))).toEqual(['keys.json']);
    expect(again).toEqual(first);
    const names = [first.code, first.token, first.data, first.peppers].map((r) => r?.current.name);
    expect(new Set(names).size).toBe(4);
  });

  it('prefers what is configured, and makes only the rest', async () => {
    const keys = await load({ CODE_KEYS: `${hexKey(9)},${hexKey(8)}` });

    expect(keys.code.all.map(({ key }) => key.toString('hex'))).toEqual([hexKey(9), hexKey(8)]);
    expect(JSON.parse(await readFile(file(), 'utf8'))).toMatchObject({
      token: [keys.token.current.key.toString('base64')],
    });
  });

  it('touches no folder where all is configured, and makes no peppers for PostgreSQL', async () => {
    const keys = await loadKeys(loadConfig({ ...PRODUCTION, DATA_DIR: join(folder, 'data') }));

    expect(keys.peppers).toBeUndefined();
    expect(keys).not.toHaveProperty('madeIn');
    expect(await readdir(folder)).toEqual([]);
    const local = await load({ DATABASE_URL: 'postgres://localhost/x' });
    expect(local).toMatchObject({ madeIn: file(), peppers: undefined });
  });

  it('keeps keys of a database in memory in memory', async () => {
    const [one, other] = await Promise.all([1, 2].map(() => load({ DATA_DIR: 'memory:' })));

    expect(one).not.toHaveProperty('madeIn');
    expect(one?.code.current.key).not.toEqual(other?.code.current.key);
  });

  it('gives 20 processes that start at once the same keys', async () => {
    const module = new URL('../../src/config/secrets.ts', import.meta.url).href;
    const script = `
      const { loadKeys } = await import(${JSON.stringify(module)});
      process.stdout.write('ready ');
      await new Promise((resolve) => process.stdin.once('end', resolve).resume());
      const keys = await loadKeys({ keys: {}, database: {}, dataDir: process.argv[1] });
      const rings = [keys.code, keys.token, keys.data, keys.peppers];
      process.stdout.write(rings.map((ring) => ring.current.name).join());`;
    const args = ['--import', 'tsx', '--input-type=module', '-e', script, join(folder, 'data')];
    const processes = Array.from({ length: 20 }, () =>
      spawn(process.execPath, args, { stdio: ['pipe', 'pipe', 'inherit'] }),
    );
    await Promise.all(processes.map(({ stdout }) => once(stdout, 'data')));
    const outputs = processes.map(({ stdout }) => text(stdout));
    for (const { stdin } of processes) stdin.end();
    const names = await Promise.all(outputs);

    expect(names[0]).toMatch(/^[0-9a-f]{8}(,[0-9a-f]{8}){3}$/);
    expect(new Set(names).size).toBe(1);
    expect(await readdir(join(folder, 'data'))).toEqual(['keys.json']);
  }, 60_000);

  it.each([0o640, 0o604, 0o620, 0o660])('refuses a file of mode %o', async (mode) => {
    await load();
    await chmod(file(), mode);

    await expect(load()).rejects.toThrow(KeysFileError);
    await expect(load()).rejects.toThrow(/chmod 600/);
  });

  it.each([
    ['', 'not JSON'],
    ['{"format":1,"code":["', 'not JSON'],
    ['[]', 'format'],
    ['null', 'no object'],
    ['{"format":2}', 'format'],
    ['{"format":1}', '"code" is without any key'],
    [JSON.stringify({ format: 1, code: ['short'] }), '"code" holds something'],
    [JSON.stringify({ format: 1, code: [7] }), '"code" holds something'],
    [JSON.stringify({ format: 1, code: ['0'.repeat(64)] }), 'all the same'],
    [`"${'x'.repeat(70_000)}"`, 'too large'],
  ])('refuses a malformed file and does not replace it: %s', async (content, why) => {
    await load();
    await writeFile(file(), content);

    await expect(load()).rejects.toThrow(KeysFileError);
    await expect(load()).rejects.toThrow(why);
    expect(await readFile(file(), 'utf8')).toBe(content);
  });
});

describe('generateKeyLines', () => {
  it('gives lines that configure every ring, new ones each time', () => {
    const env = (): Record<string, string> =>
      Object.fromEntries(
        generateKeyLines(systemRandom)
          .split('\n')
          .map((line) => line.split(/=(.*)/s, 2)),
      );
    const { keys } = loadConfig({ ...PRODUCTION, ...env() });

    expect(Object.values(keys).map((ring: readonly Buffer[]) => ring.length)).toEqual([1, 1, 1, 1]);
    expect(env()).not.toEqual(env());
  });
});
