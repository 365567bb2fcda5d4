import { describe, expect, it } from 'vitest';
import { runProgram } from '../resilience/process.js';
import { hostedCommands } from './hosted-commands.js';

const COMMANDS = ['serve', 'migrate', 'caller', 'keys'];

describe('the command line', { timeout: 60_000 }, () => {
  const run = hostedCommands();

  it('ends its process with the exit code', async () => {
    expect((await runProgram(['--help'])).code).toBe(0);
    expect((await runProgram(['frobnicate'])).code).toBe(2);
  });

  it.each([['--help'], ['help'], ['-h']])(
    'shows every command and the exit codes (%s)',
    async (flag) => {
      const { code, stdout, stderr } = await run([flag]);
      expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
      for (const name of COMMANDS) expect(stdout).toMatch(new RegExp(`^  ${name} +\\S`, 'm'));
      expect(stdout).toContain('Exit codes: 0 done, 1 failed, 2 wrong usage.');
    },
  );

  it.each(COMMANDS)('explains %s, and does nothing else', async (name) => {
    // Nothing is configured: whatever it tried to open would show.
    const { code, stdout, stderr } = await run([name, '--help'], {
      DATABASE_URL: 'nonsense',
    });
    expect({ code, stderr }).toEqual({ code: 0, stderr: '' });
    expect(stdout).toMatch(new RegExp(`^Usage: countersign ${name}`));
    expect(stdout).not.toContain('listening on');
  });

  it.each([
    ['an unknown command', ['frobnicate'], 'unknown command: frobnicate'],
    ['a name of every object', ['constructor'], 'unknown command: constructor'],
    ['an argument too many for serve', ['serve', 'now'], 'unexpected argument: now'],
    ['an argument too many for migrate', ['migrate', 'back'], 'unexpected argument: back'],
    ['caller without an action', ['caller'], 'caller: say what to do'],
    [
      'caller with an unknown action',
      ['caller', 'promote', 'shop'],
      'caller: unknown action promote',
    ],
    [
      'caller add-key with too much',
      ['caller', 'add-key', 'shop', 'more'],
      'unexpected argument: more',
    ],
    ['caller list with a name', ['caller', 'list', 'shop'], 'unexpected argument: shop'],
    ['keys without an action', ['keys'], 'keys: say what to do'],
    ['keys with too much', ['keys', 'generate', 'two'], 'unexpected argument: two'],
  ])('answers %s with the help and exit code 2', async (_what, args, complaint) => {
    const { code, stdout, stderr } = await run(args);
    expect({ code, stdout }).toEqual({ code: 2, stdout: '' });
    expect(stderr.startsWith(complaint)).toBe(true);
    expect(stderr).toContain('Usage: countersign');
    expect(stderr).not.toMatch(/^ {4}at /m);
  });

  it('makes four different keys at each call', async () => {
    const [one, other] = await Promise.all([
      runProgram(['keys', 'generate']),
      runProgram(['keys', 'generate']),
    ]);
    const lines = `${one.stdout}${other.stdout}`.trimEnd().split('\n');
    const names = lines.map((line) => line.slice(0, line.indexOf('=')));
    const four = ['CODE_KEYS', 'TOKEN_KEYS', 'DATA_KEYS', 'PASSWORD_PEPPERS'];
    expect(names.toSorted()).toEqual([...four, ...four].toSorted());
    expect(new Set(lines).size).toBe(8);
    expect(one.code).toBe(0);
  });
});
