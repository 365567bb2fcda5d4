import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { CountersignError } from '../../src/client/index.js';
import { eventually } from '../resilience/eventually.js';
import { type Finished, runProgram, temporaryFolder } from '../resilience/process.js';
import { describePostgres } from '../support/databases.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { hostedCommands } from './hosted-commands.js';

function keyIn({ code, stdout, stderr }: Finished): string {
  expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
  const key = /^key {5}(\S+)$/m.exec(stdout)?.[1];
  if (key === undefined) throw new Error('no key was shown');
  return key;
}

describePostgres('callers, as an operator makes them', (database) => {
  let app: TestApp;
  beforeAll(async () => {
    app = await startTestApp({ database: database() });
  });
  afterAll(() => app?.[Symbol.asyncDispose]());

  const run = hostedCommands();
  const caller = (...args: readonly string[]): Promise<Finished> =>
    run(['caller', ...args], { DATABASE_URL: database().url });
  const listed = async (name: string): Promise<string> => {
    const { stdout } = await caller('list');
    return stdout.split('\n').find((line) => line.startsWith(`${name} `)) ?? '';
  };
  const idsOf = (line: string): readonly string[] =>
    /keys ((?:[0-9a-f]{8} ?)+)/.exec(line)?.[1]?.trim().split(' ') ?? [];
  const answerTo = (callerKey: string): Promise<string> =>
    app
      .connect({ callerKey })
      .getJsonWebKeySet({})
      .then(
        () => 'OK',
        (error: unknown) => (error instanceof CountersignError ? error.reason : 'OTHER'),
      );

  it('works from the first key to its replacement without a gap', { timeout: 90_000 }, async () => {
    expect((await caller('list')).stdout).toContain('no callers yet: countersign caller add NAME');
    const first = keyIn(
      await runProgram(['caller', 'add', 'shop'], { DATABASE_URL: database().url }),
    );
    await eventually('the first key was known', async () => (await answerTo(first)) === 'OK');
    const [firstId = ''] = idsOf(await listed('shop'));
    expect(firstId).toMatch(/^[0-9a-f]{8}$/);

    const second = keyIn(await caller('add-key', 'shop'));
    expect(second).not.toBe(first);
    await eventually('the second key was known', async () => (await answerTo(second)) === 'OK');
    expect(await answerTo(first)).toBe('OK');
    const third = await caller('add-key', 'shop');
    expect(third.code).toBe(1);
    expect(third.stderr).toContain('revoke one first');

    expect((await caller('revoke-key', 'shop', firstId)).stdout).toBe(
      `revoked ${firstId} of shop\n`,
    );
    await eventually(
      'the old key was refused',
      async () => (await answerTo(first)) === 'CALLER_UNKNOWN',
    );
    expect(await answerTo(second)).toBe('OK');
    expect(idsOf(await listed('shop'))).toHaveLength(1);
    expect(await listed('shop')).not.toContain(firstId);

    // Shown once: neither the list nor any table has a key.
    const list = (await caller('list')).stdout;
    const { rows } = await sql<{ text: string }>`select k::text as text from caller_keys k`.execute(
      app.db,
    );
    const kept = [list, ...rows.map(({ text }) => text)].join('\n');
    for (const key of [first, second]) expect(kept).not.toContain(key);
  });

  it('grants only the groups that were named', { timeout: 60_000 }, async () => {
    const key = keyIn(await caller('add', 'gateway', 'introspection'));
    await eventually(
      'the key was known',
      async () => (await answerTo(key)) === 'CALLER_NOT_ALLOWED',
    );
    const auth = app.connect({ callerKey: key });
    expect((await auth.introspectToken({ accessToken: 'garbage' })).active).toBe(false);
    expect(await listed('gateway')).toMatch(/groups introspection$/);
  });

  it('registers certificates, and makes a key beside them only when asked', {
    timeout: 90_000,
  }, async () => {
    const spiffe = 'URI:spiffe://example.org/mesh';
    const added = await caller('add', 'mesh', 'keys', '--certificate', 'DNS:Mesh.internal');
    expect(added).toMatchObject({ code: 0, stderr: '' });
    expect(added.stdout).not.toMatch(/ck_/);
    expect(await listed('mesh')).toMatch(
      /keys none {2}certificates DNS:mesh\.internal {2}groups keys$/,
    );
    expect((await caller('add-certificate', 'mesh', spiffe)).stdout).toBe('added to mesh\n');
    expect((await caller('remove-certificate', 'mesh', 'DNS:mesh.internal')).stdout).toBe(
      'removed from mesh\n',
    );
    expect(await listed('mesh')).toContain(`certificates ${spiffe} `);
    keyIn(await caller('add', 'both', '--certificate', 'DNS:both.internal', '--key'));
    expect(idsOf(await listed('both'))).toHaveLength(1);
    const taken = await caller('add', 'thief', '--certificate', spiffe);
    expect({ code: taken.code, stdout: taken.stdout }).toEqual({ code: 1, stdout: '' });
    expect(taken.stderr).toContain(`${spiffe} belongs to the caller mesh already`);
    expect((await caller('add', 'x', '--cert', 'DNS:a')).code).toBe(2);
  });

  it('says what cannot be done, and changes nothing', { timeout: 90_000 }, async () => {
    keyIn(await caller('add', 'ledger'));
    const before = (await caller('list')).stdout;
    const refused: readonly [readonly string[], RegExp][] = [
      [['add', 'ledger'], /there is a caller ledger already/],
      [['add', 'Ledger!'], /a caller name has 1 to 63 characters/],
      [['add', 'other', 'everything'], /groups are one or more of/],
      [['add-key', 'nobody'], /there is no caller nobody/],
      [['revoke-key', 'ledger', 'ffffffff'], /ledger has no live key ffffffff/],
      [['revoke-key', 'ledger', '%'], /a key id is 8 hex digits/],
    ];
    for (const [args, complaint] of refused) {
      const { code, stdout, stderr } = await caller(...args);
      expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
      expect(stderr).toMatch(complaint);
      expect(stderr).not.toMatch(/^ {4}at /m);
    }
    expect((await caller('list')).stdout).toBe(before);
  });

  it('also before the first start on the embedded database', { timeout: 60_000 }, async () => {
    await using folder = await temporaryFolder();
    const env = { DATA_DIR: folder.path };
    keyIn(await runProgram(['caller', 'add', 'shop'], env));
    expect((await runProgram(['caller', 'list'], env)).stdout).toMatch(/^shop /);
  });
});
