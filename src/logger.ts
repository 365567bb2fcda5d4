import { type DestinationStream, pino } from 'pino';
import type { LogLevel } from './config/index.js';
import type { Logger } from './core/logger.js';
import { traceFields } from './core/tracing.js';

/**
 * Names under which no value is ever written, wherever they stand (O5). Nothing in the house logs
 * them; this is the second lock, for whoever logs an object without knowing what is in it.
 */
const SECRET_NAMES = [
  'password',
  'code',
  'token',
  'accessToken',
  'refreshToken',
  'authorization',
  'key',
  'secret',
  'email',
  'phone',
  'phoneNumber',
  'identifier',
  'to',
];

/** Where lines go; one that gathers them writes at once what it has when it is told to. */
interface Lines extends DestinationStream {
  flushSync?(): void;
}

/** As many bytes of lines, or as long, are gathered before they are written. */
const GATHER_BYTES = 4_096;
const GATHER_MS = 100;

/**
 * Standard error, a system call for some twenty lines instead of for each. What waits is written before
 * the process exits, whatever makes it; only one that is killed loses its last moments.
 */
function gatheredStderr(): Lines {
  const lines = pino.destination({
    dest: 2,
    sync: true,
    minLength: GATHER_BYTES,
    periodicFlush: GATHER_MS,
  });
  process.once('exit', () => lines.flushSync());
  return lines;
}

/**
 * Structured logs on standard error; standard output is for people and console messages. Warnings and
 * errors do not wait to be written.
 */
export function createLogger(level: LogLevel, to: Lines = gatheredStderr()): Logger {
  const paths = SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
  const redact = { paths, censor: '[redacted]' };
  const common = { level, base: null, mixin: traceFields };
  const searching = pino({ ...common, redact }, to);
  const straight = pino(common, to);
  // The search costs five times the line itself, and the line of every call has nothing to search.
  const loggerFor = (fields: object): Logger => (holdsNoSecret(fields) ? straight : searching);
  return {
    debug: (fields, message) => loggerFor(fields).debug(fields, message),
    info: (fields, message) => loggerFor(fields).info(fields, message),
    warn: (fields, message) => {
      loggerFor(fields).warn(fields, message);
      to.flushSync?.();
    },
    error: (fields, message) => {
      loggerFor(fields).error(fields, message);
      to.flushSync?.();
    },
  };
}

const secretNames: ReadonlySet<string> = new Set(SECRET_NAMES);

/** Flat, and without any of the names. */
function holdsNoSecret(fields: object): boolean {
  return Object.entries(fields).every(
    ([name, value]) =>
      !secretNames.has(name) && typeof value !== 'object' && typeof value !== 'function',
  );
}
