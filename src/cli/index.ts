import { SchemaError } from '../app.js';
import { CallerAdministrationError } from '../callers/index.js';
import { ConfigError, KeysFileError } from '../config/index.js';
import {
  DatabaseUnavailableError,
  FolderLockedError,
  isUnavailable,
  MigrationError,
} from '../db/index.js';
import { callerCommand } from './caller.js';
import { keysCommand } from './keys.js';
import { migrateCommand } from './migrate.js';
import { serveCommand } from './serve.js';
import { type Command, UsageError } from './usage.js';

const commands: Readonly<Record<string, Command>> = {
  serve: serveCommand,
  migrate: migrateCommand,
  caller: callerCommand,
  keys: keysCommand,
};

/** Exit codes, as `--help` tells them. */
const FAILED = 1;
const MISUSED = 2;

/** Runs one command; answers the exit code of the process. */
export async function runCommand(args: readonly string[]): Promise<number> {
  const [name = 'serve', ...rest] = args;
  if (['help', '--help', '-h'].includes(name)) return print(overview());
  const command = Object.hasOwn(commands, name) ? commands[name] : undefined;
  if (command === undefined) return misuse(`unknown command: ${name}\n\n${overview()}`);
  if (rest.includes('--help') || rest.includes('-h')) return print(command.help);
  try {
    await command.run(rest);
    return 0;
  } catch (error) {
    if (error instanceof UsageError) return misuse(`${error.message}\n\n${command.help}`);
    if (!isForPeople(error)) throw error;
    process.stderr.write(`countersign: ${error.message}\n`);
    return FAILED;
  }
}

function overview(): string {
  const lines = Object.entries(commands).map(
    ([name, { summary }]) => `  ${name.padEnd(10)}${summary}`,
  );
  return [
    'countersign: a gRPC identity service',
    '',
    'Usage: countersign [command] [--help]',
    '',
    ...lines,
    '',
    'Settings are environment variables: docs/configuration.md.',
    'Exit codes: 0 done, 1 failed, 2 wrong usage.',
  ].join('\n');
}

function print(text: string): number {
  process.stdout.write(`${text}\n`);
  return 0;
}

function misuse(text: string): number {
  process.stderr.write(`${text}\n`);
  return MISUSED;
}

/** Errors whose message says what to do; of any other the stack is what helps. */
function isForPeople(error: unknown): error is Error {
  if (!(error instanceof Error)) return false;
  return (
    error instanceof ConfigError ||
    error instanceof KeysFileError ||
    error instanceof SchemaError ||
    error instanceof MigrationError ||
    error instanceof FolderLockedError ||
    error instanceof CallerAdministrationError ||
    error instanceof DatabaseUnavailableError ||
    isUnavailable(error) ||
    error.message.startsWith('cannot listen on')
  );
}
