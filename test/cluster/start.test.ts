import { execFile, fork } from 'node:child_process';
import { tmpdir } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, it, onTestFinished } from 'vitest';
import { compiledProgram } from '../support/compiled-program.js';

it('a worker that refuses its configuration ends, and keeps no place among the others', async () => {
  // As `node:cluster` starts one: by a newer build in the same folder, which wants something else.
  const worker = fork(await compiledProgram(), ['serve'], {
    cwd: tmpdir(),
    env: { PATH: process.env['PATH'] ?? '', NODE_UNIQUE_ID: '1', WORKERS: 'many' },
    stdio: ['ignore', 'ignore', 'pipe', 'ipc'],
  });
  onTestFinished(() => void worker.kill('SIGKILL'));
  expect(await new Promise((resolve) => worker.once('exit', resolve))).toBe(1);
}, 20_000);

it('a worker that never comes to serve is ended, and so is a cluster of such', async () => {
  const script = fileURLToPath(new URL('silent-cluster.mjs', import.meta.url));
  const primary = new URL('cluster/primary.js', `file://${await compiledProgram()}`).href;
  const outcome = await promisify(execFile)(process.execPath, [script, primary]).catch(
    (error: { stdout: string }) => error,
  );
  expect(JSON.parse(outcome.stdout)).toEqual({
    code: 1,
    said: ['a worker did not come to serve in time, and is ended'],
  });
}, 30_000);
