import { type ChildProcess, fork } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll } from 'vitest';
import type { Finished, ProgramEnvironment } from '../resilience/process.js';
import { compiledProgram } from '../support/compiled-program.js';

export interface HostedCommand {
  readonly args: readonly string[];
  readonly env: ProgramEnvironment;
}

export interface HostedAnswer extends Finished {
  readonly code: number;
}

const HOST = fileURLToPath(new URL('command-host.ts', import.meta.url));

/**
 * Runs commands in one process for all tests around it, one at a time: for what they answer. That a command ends its
 * process, and with which code, is shown with `runProgram`.
 */
export function hostedCommands(): (
  args: readonly string[],
  env?: ProgramEnvironment,
) => Promise<Finished> {
  let host: ChildProcess | undefined;
  let last: Promise<unknown> = Promise.resolve();
  beforeAll(async () => {
    host = fork(HOST, [await compiledProgram()], {
      execArgv: ['--import', 'tsx'],
      env: { PATH: process.env['PATH'] ?? '' },
    });
    await once(host, 'message');
  });
  afterAll(async () => {
    host?.kill('SIGKILL');
  });
  const run = async (command: HostedCommand): Promise<Finished> => {
    if (host === undefined) throw new Error('commands run only inside tests');
    const answered = once(host, 'message');
    host.send(command);
    const [answer] = await answered;
    return answer as HostedAnswer;
  };
  return (args, env = {}) => {
    const answer = last.then(() => run({ args, env }));
    last = answer.catch(() => undefined);
    return answer;
  };
}
