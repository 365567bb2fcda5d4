import {
  closeSync,
  constants,
  existsSync,
  fstatSync,
  mkdirSync,
  openSync,
  writeSync,
} from 'node:fs';
import { dirname } from 'node:path';
import type { Channel, Locale } from '../core/contact.js';

/** A message as it leaves the house. */
export interface RenderedMessage {
  readonly channel: Channel;
  readonly to: string;
  /** Mail only. */
  readonly subject: string | null;
  readonly text: string;
  /** Mail only. */
  readonly html: string | null;
  readonly locale: Locale;
  readonly time: Date;
}

/**
 * A way to the reader. `send` resolves when the provider has accepted the message and rejects
 * otherwise; it stops when `signal` aborts. Errors need a `name` or a `code`: their text is never
 * stored, since providers repeat addresses in it.
 */
export interface Transport {
  send(message: RenderedMessage, signal: AbortSignal): Promise<void>;
}

export type TransportSpec = 'console' | `file:${string}`;

export interface TransportDeps {
  readonly stdout: { write(text: string): unknown };
}

/** The transports for development and for end-to-end tests of other teams (M1). */
export function createTransport(spec: TransportSpec, { stdout }: TransportDeps): Transport {
  return spec === 'console' ? consoleTransport(stdout) : fileTransport(spec.slice('file:'.length));
}

/** To standard output and never through the logger: codes are the point here, and a leak there (O5). */
function consoleTransport(stdout: TransportDeps['stdout']): Transport {
  return {
    async send(message, signal) {
      signal.throwIfAborted();
      const title = message.channel === 'email' ? 'Mail' : 'SMS';
      const lines = [
        `┌─ ${title} to ${message.to} (${message.locale}, ${message.time.toISOString()})`,
        ...(message.subject === null ? [] : [`│ ${message.subject}`, '│']),
        ...message.text
          .trimEnd()
          .split('\n')
          .map((line) => `│ ${line}`.trimEnd()),
        '└─',
      ];
      stdout.write(`${lines.join('\n')}\n`);
    },
  };
}

/** What a file transport is to write to will not do; the message says why. */
export class TransportTargetError extends Error {
  override readonly name = 'TransportTargetError';
}

/**
 * One JSON object a line. Every line is one write to a file opened for appending, so that lines of
 * several processes do not mix. Opened anew each time: whoever reads it may move or delete it.
 * Synchronous, because the asynchronous calls queue in libuv's pool behind password hashes, and a
 * short local write takes microseconds; for the same reason only regular files will do, which never
 * make a writer wait.
 */
function fileTransport(path: string): Transport {
  if (path === '') throw new TransportTargetError('a file transport needs a path: file:PATH');
  try {
    makeFolder(dirname(path));
    closeSync(openForAppending(path));
  } catch (error) {
    if (error instanceof TransportTargetError || !(error instanceof Error)) throw error;
    const code = 'code' in error ? String(error.code) : error.name;
    throw new TransportTargetError(`${path} cannot be written (${code})`, { cause: error });
  }
  return {
    async send({ channel, to, subject, text, html, locale, time }, signal) {
      signal.throwIfAborted();
      const record = { channel, to, subject, text, html, locale, time: time.toISOString() };
      const line = Buffer.from(`${JSON.stringify(record)}\n`, 'utf8');
      const file = openForAppending(path);
      try {
        if (writeSync(file, line) !== line.length) throw new Error('the line was cut: disk full');
      } finally {
        closeSync(file);
      }
    },
  };
}

/** Not waiting for a reader, as opening a FIFO would, and giving back what is no regular file. */
function openForAppending(path: string): number {
  const { O_WRONLY, O_APPEND, O_CREAT, O_NONBLOCK } = constants;
  const file = openSync(path, O_WRONLY | O_APPEND | O_CREAT | O_NONBLOCK, 0o600);
  if (fstatSync(file).isFile()) return file;
  closeSync(file);
  throw new TransportTargetError(`${path} is not a regular file`);
}

/** Not `mkdir` with `recursive`: where the kernel refuses with ENOENT, as in /proc, that never returns. */
function makeFolder(path: string): void {
  if (existsSync(path)) return;
  makeFolder(dirname(path));
  try {
    mkdirSync(path, { mode: 0o700 });
  } catch (error) {
    // Another process was first.
    if (!existsSync(path)) throw error;
  }
}
