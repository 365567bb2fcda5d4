import { fork } from 'node:child_process';
import { tmpdir } from 'node:os';
import { expect, it, onTestFinished } from 'vitest';
import { compiledProgram } from '../resilience/compiled-program.js';

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
