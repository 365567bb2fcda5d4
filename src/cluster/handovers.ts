import type { ChildProcess } from 'node:child_process';

interface Closable {
  close(): void;
}

/**
 * Closes the connections that a worker was handed and had not taken when it died. Node keeps its own
 * end open until the worker says that it has it, and then for ever: the first client that comes back
 * after a crash would wait on a connection that nobody reads. Closed, it connects anew.
 *
 * This looks at the messages by which `node:cluster` hands over, which are not documented; where they
 * change, nothing is noticed and nothing is closed.
 */
export function closeUntaken(child: ChildProcess): void {
  // Where there was no file descriptor left to start it with, it has no channel.
  if (!child.connected) return;
  // At most one per listener: the next is handed over when the last was taken.
  const untaken = new Map<unknown, Closable>();
  const send = child.send.bind(child);
  child.send = (message: object, ...rest: readonly unknown[]): boolean => {
    const [handle] = rest;
    if ('act' in message && message.act === 'newconn' && 'seq' in message && isClosable(handle)) {
      untaken.set(message.seq, handle);
    }
    return Reflect.apply(send, child, [message, ...rest]);
  };
  child.on('internalMessage', (message: unknown) => {
    if (typeof message === 'object' && message !== null && 'ack' in message) {
      untaken.delete(message.ack);
    }
  });
  child.once('exit', () => {
    for (const handle of untaken.values()) handle.close();
    untaken.clear();
  });
}

function isClosable(handle: unknown): handle is Closable {
  return (
    typeof handle === 'object' &&
    handle !== null &&
    'close' in handle &&
    typeof handle.close === 'function'
  );
}
