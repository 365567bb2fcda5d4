import { closeSync, openSync, readSync } from 'node:fs';

const POLL_MS = 2;
const CHUNK = 64 * 1024;
const GIVE_UP_MS = 20_000;

export interface Codes {
  /** The next code that is sent to a number. */
  next(phone: string): Promise<string>;
}

/** Codes out of the file that messages are written to, while it grows. */
export function codesIn(path: string): Codes {
  const waiting = new Map<string, { take: (code: string) => void; since: number }>();
  const chunk = Buffer.alloc(CHUNK);
  let offset = 0;
  let rest = '';
  let file: number | undefined;

  const look = (): void => {
    file ??= openSync(path, 'a+');
    for (;;) {
      const length = readSync(file, chunk, 0, CHUNK, offset);
      offset += length;
      const lines = (rest + chunk.toString('utf8', 0, length)).split('\n');
      rest = lines.pop() ?? '';
      for (const line of lines) deliver(JSON.parse(line));
      if (length < CHUNK) break;
    }
    const oldest = [...waiting.values()][0];
    if (oldest !== undefined && performance.now() - oldest.since > GIVE_UP_MS) {
      throw new Error('a message with a code did not come');
    }
    if (waiting.size > 0) setTimeout(look, POLL_MS);
  };
  const deliver = ({ to, text }: { readonly to: string; readonly text: string }): void => {
    const code = /\b(\d{20}|\d{6})\b/.exec(text)?.[1];
    const reader = waiting.get(to);
    if (code === undefined || reader === undefined) return;
    waiting.delete(to);
    reader.take(code);
  };
  process.once('exit', () => {
    if (file !== undefined) closeSync(file);
  });
  return {
    next: (phone) =>
      new Promise((resolve) => {
        if (waiting.size === 0) setTimeout(look, POLL_MS);
        waiting.set(phone, { take: resolve, since: performance.now() });
      }),
  };
}
