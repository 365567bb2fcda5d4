import { CallerAdministrationError } from '../callers/index.js';
import { SchemaError } from '../composition/index.js';
import { ConfigError, KeysFileError, ListenError } from '../config/index.js';
import { connectionRefusal, FolderLockedError, MigrationError } from '../db/index.js';
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
    const text = forPeople(error);
    if (text === undefined) throw error;
    process.stderr.write(`countersign: ${text}\n`);
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

/** Errors whose message says what to do. */
const TOLD = [
  ConfigError,
  KeysFileError,
  SchemaError,
  ListenError,
  MigrationError,
  FolderLockedError,
  CallerAdministrationError,
];

/** What to tell whoever is at the terminal; undefined: the stack is what helps. */
function forPeople(error: unknown): string | undefined {
  if (error instanceof Error && TOLD.some((known) => error instanceof known)) return error.message;
  const refusal = connectionRefusal(error);
  if (refusal === undefined) return undefined;
  return `the database of DATABASE_URL cannot be used: ${refusal}`;
}
