/** The server under test: the compiled program, as in production, on databases of its own. */
import { execFile } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { limitVariable } from '../../src/config/settings/limits.js';
import { limiterNames } from '../../src/throttling/limits.js';
import { Cleanup } from './cleanup.js';
import { type Program, ROOT, startProgram, temporaryFolder } from './program.js';
import { createDatabase, redisKeys } from './services.js';

const run = promisify(execFile);

export interface SubjectOptions {
  /** `postgres` (with Redis, the default) or `embedded` (limits in memory). */
  readonly on?: 'postgres' | 'embedded';
  /** Settings beside those below. */
  readonly env?: Readonly<Record<string, string>>;
  /** What to run instead of `dist/src/main.js`: to compare two builds. */
  readonly program?: string | undefined;
  /** For a profiler: `['--cpu-prof', '--cpu-prof-dir=/tmp/prof']`. */
  readonly nodeArgs?: readonly string[];
}

export interface Subject extends Program {
  readonly name: 'countersign';
  /** Undefined on the embedded database. */
  readonly databaseUrl: string | undefined;
  /** Shown by generators in `countersign-caller-key`; undefined on the embedded database. */
  readonly callerKey: string | undefined;
  readonly callerName: string;
  /** 32 bytes: what access tokens are signed and refresh tokens guarded under. */
  readonly tokenKey: Buffer;
  /** Where mail and SMS are written, one JSON object a line. */
  readonly messageFile: string;
  /** A second process on the same databases: another start, another replica. */
  again(): Promise<Program>;
}

const CALLER = 'bench';

/**
 * What a run changes of the defaults: limits are out of the way, since one machine plays all people and
 * would be shut out in a second; they are charged all the same. Written into every result.
 */
export const LIFTED_LIMITS: Readonly<Record<string, string>> = Object.fromEntries(
  limiterNames.map((name) => [limitVariable(name), '1000000000/1h']),
);

/** Everything is gone when it is disposed of. */
export function startSubject(options: SubjectOptions = {}): Promise<Subject> {
  return Cleanup.around((cleanup) => open(options, cleanup));
}

async function open(options: SubjectOptions, cleanup: Cleanup): Promise<Subject> {
  const program = options.program ?? join(ROOT, 'dist', 'src', 'main.js');
  const folder = cleanup.add(temporaryFolder());
  const messageFile = join(folder.path, 'messages.jsonl');
  const tokenKey = randomBytes(32);
  const stores = options.on === 'embedded' ? undefined : await openStores(cleanup);
  const env = {
    LISTEN_ADDRESS: '127.0.0.1:0',
    HTTP_ADDRESS: '127.0.0.1:0',
    DATA_DIR: join(folder.path, 'data'),
    TOKEN_KEYS: tokenKey.toString('base64'),
    MAIL_TRANSPORT: `file:${messageFile}`,
    SMS_TRANSPORT: `file:${messageFile}`,
    ...LIFTED_LIMITS,
    ...stores?.env,
    ...options.env,
  };
  const command = async (...args: readonly string[]): Promise<string> =>
    (await run(process.execPath, [program, ...args], { cwd: ROOT, env: { ...env } })).stdout;
  if (stores !== undefined) await command('migrate');
  const callerKey =
    stores === undefined ? undefined : keyIn(await command('caller', 'add', CALLER));
  const start = (): Promise<Program> =>
    startProgram([program, 'serve'], { env, nodeArgs: options.nodeArgs ?? [] });
  const server = cleanup.add(await start());
  return {
    ...server,
    name: 'countersign',
    databaseUrl: stores?.env.DATABASE_URL,
    callerKey,
    callerName: callerKey === undefined ? '' : CALLER,
    tokenKey,
    messageFile,
    again: start,
    [Symbol.asyncDispose]: () => cleanup[Symbol.asyncDispose](),
  };
}

async function openStores(cleanup: Cleanup) {
  const database = cleanup.add(await createDatabase());
  const redis = cleanup.add(redisKeys());
  return {
    env: { DATABASE_URL: database.url, REDIS_URL: redis.url, REDIS_KEY_PREFIX: redis.prefix },
  };
}

function keyIn(output: string): string {
  const key = /^key +(\S+)$/m.exec(output)?.[1];
  if (key === undefined) throw new Error('the program showed no caller key');
  return key;
}
