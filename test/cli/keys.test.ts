import { expect, it } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';
import { runProgram, temporaryFolder } from '../resilience/process.js';
import { describePostgres } from '../support/databases.js';

describePostgres('countersign keys', (database) => {
  it('shows the keys that sign, publishes the next, and replaces them all (rule 19)', async () => {
    await using folder = await temporaryFolder();
    const env = { DATABASE_URL: database().url, DATA_DIR: folder.path };
    const keys = async (args: string, more: Record<string, string> = {}) =>
      runProgram(['keys', ...args.split(' ')], { ...env, ...more });

    expect((await keys('rotate')).stdout).toBe('no keys yet: the first start makes one\n');
    const first = await keys('rotate --now');
    expect(first).toMatchObject({ code: 0, stderr: '' });
    const [, kid = ''] = /^signs now (\S{43})\n$/.exec(first.stdout) ?? [];
    expect(kid).not.toBe('');
    expect((await keys('rotate')).stdout).toMatch(/^published \S{43}\nsigns from \d{4}-\S+Z\n$/);
    const again = await keys('rotate');
    expect(again).toMatchObject({ code: 0 });
    expect(again.stdout).toMatch(/^nothing to do: already published \S{43}\n/);
    const lines = (await keys('list')).stdout.trimEnd().split('\n');
    expect(lines.map((line) => line.split(/ +/)[1])).toEqual(['published', 'signing']);
    expect(lines[1]?.startsWith(kid)).toBe(true);

    // The keys of another installation, as in a shell that lacks the settings of the servers.
    const foreign = { TOKEN_KEYS: systemRandom.bytes(32).toString('base64') };
    const refused = await keys('rotate --now', foreign);
    expect(refused).toMatchObject({ code: 1, stdout: '' });
    expect(refused.stderr).toContain('TOKEN_KEYS: this database was sealed under a key');
    expect((await keys('list')).stdout.trimEnd().split('\n')).toEqual(lines);
  }, 60_000);
});
