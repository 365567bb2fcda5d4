import { spawnSync } from 'node:child_process';
import { describe, expect, it } from 'vitest';

/** What a process that ends so has written. */
function written(ending: string): { readonly lines: readonly string[]; readonly stderr: string } {
  const program = `
    import { createLogger } from './src/logger.ts';
    const log = createLogger('info');
    log.info({}, 'first');
    log.info({}, 'last');
    ${ending}`;
  const args = ['--import', 'tsx', '--input-type=module', '--eval', program];
  const { stderr } = spawnSync(process.execPath, args, { encoding: 'utf8', timeout: 20_000 });
  const lines = [...stderr.matchAll(/"msg":"(\w+)"/g)].map(([, text = '']) => text);
  return { lines, stderr };
}

describe('lines that wait to be written', () => {
  it.each([
    ['by itself', ''],
    ['on demand', 'process.exit(0);'],
    ['by a fault', "throw new Error('not caught');"],
  ])('are written when the process ends %s', (_how, ending) => {
    expect(written(ending).lines).toEqual(['first', 'last']);
  });

  it('go out before a warning, and with it: even a process that is killed has told of that', () => {
    const { lines, stderr } = written(
      "log.warn({}, 'warning'); process.kill(process.pid, 'SIGKILL');",
    );
    expect(lines, stderr).toEqual(['first', 'last', 'warning']);
  });
});
