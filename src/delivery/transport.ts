import { closeSync, mkdirSync, openSync, writeSync } from 'node:fs';
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

/**
 * One JSON object a line. Every line is one write to a file opened for appending, so that lines of
 * several processes do not mix. Opened anew each time: whoever reads it may move or delete it.
 * Synchronous, because the asynchronous calls queue in libuv's pool behind password hashes, and a
 * short local write takes microseconds.
 */
function fileTransport(path: string): Transport {
  if (path === '') throw new Error('a file transport needs a path: file:PATH');
  return {
    async send({ channel, to, subject, text, html, locale, time }, signal) {
      signal.throwIfAborted();
      const record = { channel, to, subject, text, html, locale, time: time.toISOString() };
      const line = Buffer.from(`${JSON.stringify(record)}\n`, 'utf8');
      mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
      const file = openSync(path, 'a', 0o600);
      try {
        if (writeSync(file, line) !== line.length) throw new Error('the line was cut: disk full');
      } finally {
        closeSync(file);
      }
    },
  };
}
