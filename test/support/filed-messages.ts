/** Mail and SMS of server processes, which write them to a file: one JSON object a line. */
import { open } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';

/** A line of the file transport. */
export interface FiledMessage {
  readonly channel: 'email' | 'sms';
  readonly to: string;
  readonly text: string;
  readonly locale: string;
  readonly time: string;
}

export interface FiledMessages {
  /** What has been sent so far. */
  all(): Promise<readonly FiledMessage[]>;
  /** Of that, what went to one address. */
  to(address: string): Promise<readonly FiledMessage[]>;
  /** The `nth` message (from 1) to an address, waited for. */
  nth(address: string, nth?: number): Promise<FiledMessage>;
}

const POLL_MS = 10;
const PATIENCE_MS = 10_000;

/** Reads on from where it has read to: while the file grows it is asked all the time, by many. */
export function filedMessages(path: string, patienceMs = PATIENCE_MS): FiledMessages {
  const all: FiledMessage[] = [];
  const byAddress = new Map<string, FiledMessage[]>();
  let offset = 0;
  let reading: Promise<void> | undefined;

  const readOn = async (): Promise<void> => {
    const lines = await wholeLines(path, offset);
    offset += lines.length;
    for (const line of lines.toString().split('\n').filter(Boolean)) {
      const message = JSON.parse(line) as FiledMessage;
      all.push(message);
      byAddress.set(message.to, [...(byAddress.get(message.to) ?? []), message]);
    }
  };
  const upToDate = (): Promise<void> => {
    reading ??= readOn().finally(() => {
      reading = undefined;
    });
    return reading;
  };
  const to = async (address: string): Promise<readonly FiledMessage[]> => {
    // One that is under way may have begun before the last line was written.
    await reading;
    await upToDate();
    return byAddress.get(address) ?? [];
  };
  return {
    all: async () => {
      await reading;
      await upToDate();
      return all;
    },
    to,
    async nth(address, nth = 1) {
      for (const end = performance.now() + patienceMs; performance.now() < end; ) {
        const message = (await to(address))[nth - 1];
        if (message !== undefined) return message;
        await delay(POLL_MS);
      }
      throw new Error(`message ${nth} to ${address} does not come`);
    },
  };
}

/** From there to the last end of a line; what comes after it may be half-written. */
async function wholeLines(path: string, from: number): Promise<Buffer> {
  const file = await open(path, 'r').catch(() => undefined);
  if (file === undefined) return Buffer.alloc(0);
  try {
    const size = Math.max((await file.stat()).size - from, 0);
    const { buffer, bytesRead } = await file.read(Buffer.alloc(size), 0, size, from);
    return buffer.subarray(0, buffer.lastIndexOf('\n', bytesRead - 1) + 1);
  } finally {
    await file.close();
  }
}

/** The code in a message: a long one, or one of an ordinary length. */
export function codeIn(message: FiledMessage | undefined): string {
  const code = /(?<![0-9])(?:[0-9]{20}|[0-9]{4,8})(?![0-9])/.exec(message?.text ?? '')?.[0];
  if (code === undefined) throw new Error('no message with a code');
  return code;
}
