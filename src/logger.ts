import { pino } from 'pino';
import type { LogLevel } from './config/index.js';
import type { Logger } from './core/logger.js';

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

/** Structured logs on standard error; standard output is for people and console messages. */
export function createLogger(level: LogLevel): Logger {
  const paths = SECRET_NAMES.flatMap((name) => [name, `*.${name}`, `*.*.${name}`]);
  return pino({ level, base: null, redact: { paths, censor: '[redacted]' } }, pino.destination(2));
}
