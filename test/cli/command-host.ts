/**
 * A process that runs commands of the compiled program one after the other, as its `main` runs one: to start a
 * process for each costs a second. Its argument is the path of the program.
 */
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { runCommand } from '../../src/cli/index.js';
import type { HostedAnswer, HostedCommand } from './hosted-commands.js';

const [, , program = ''] = process.argv;
const cli: { readonly runCommand: typeof runCommand } = await import(
  pathToFileURL(join(dirname(program), 'cli', 'index.js')).href
);
// Each command leaves what its logger wants to do at the end of its process.
process.setMaxListeners(0);

async function answer({ args, env }: HostedCommand): Promise<HostedAnswer> {
  for (const name of Object.keys(process.env)) delete process.env[name];
  Object.assign(process.env, env);
  const [stdout, stderr] = [gathered(process.stdout), gathered(process.stderr)];
  try {
    return { code: await cli.runCommand(args), stdout: stdout.text(), stderr: stderr.text() };
  } catch (error) {
    const stack = error instanceof Error ? error.stack : String(error);
    return { code: 1, stdout: stdout.text(), stderr: `${stderr.text()}${stack}\n` };
  } finally {
    stdout.end();
    stderr.end();
  }
}

/** What is written to a stream from now on, in the place of the stream. */
function gathered(stream: NodeJS.WriteStream) {
  const { write } = stream;
  let text = '';
  stream.write = (chunk: string | Uint8Array) => {
    text += String(chunk);
    return true;
  };
  return {
    text: () => text,
    end: () => {
      stream.write = write;
    },
  };
}

process.on('message', async (command: HostedCommand) => {
  process.send?.(await answer(command));
});
process.send?.('ready');
