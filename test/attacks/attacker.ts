import { once } from 'node:events';
import { connect, type Socket } from 'node:net';
import { setTimeout as delay, setImmediate as nextTurn } from 'node:timers/promises';
import { frameReader, GOAWAY, type OnFrame, PREFACE, settings } from './frames.js';

/** One hostile connection: bytes as they are, and no manners of a library. */
export interface Attacker {
  /** The types of the frames that came, counted. */
  readonly frames: ReadonlyMap<number, number>;
  /** Resolves once the kernel has the bytes, or with false once the connection has ended. */
  send(bytes: Buffer): Promise<boolean>;
  /** From now on the server's bytes stay in its own buffers. */
  stopReading(): void;
  /** Whether the server ends the connection, or has said goodbye, within that time. */
  endedWithin(ms: number): Promise<boolean>;
  /** Whether the connection is over within that time. */
  closedWithin(ms: number): Promise<boolean>;
  leave(): void;
}

export interface AttackerOptions {
  /** Absent: preface and empty settings. */
  readonly greeting?: Buffer;
  readonly onFrame?: OnFrame;
}

export async function attacker(address: string, options: AttackerOptions = {}): Promise<Attacker> {
  const [host = '', port = ''] = address.split(':');
  const socket = connect(Number(port), host);
  await once(socket, 'connect');
  const frames = new Map<number, number>();
  const gone = new Promise<void>((resolve) => void socket.once('close', () => resolve()));
  let heard: (goodbye: true) => void = () => undefined;
  const goodbye = new Promise<true>((resolve) => {
    heard = resolve;
  });
  // The server may well reset the connection: that is the defence.
  socket.on('error', () => undefined);
  socket.on('end', () => socket.destroy());
  const read = frameReader((type, payload, flags, stream) => {
    frames.set(type, (frames.get(type) ?? 0) + 1);
    if (type === GOAWAY) heard(true);
    options.onFrame?.(type, payload, flags, stream);
  });
  socket.on('data', read);
  socket.write(options.greeting ?? Buffer.concat([PREFACE, settings()]));
  return {
    frames,
    send: (bytes) => write(socket, bytes, gone),
    stopReading: () => void socket.pause(),
    endedWithin: (ms) =>
      Promise.race([gone.then(() => true), goodbye, delay(ms, false, { ref: false })]),
    closedWithin: (ms) => Promise.race([gone.then(() => true), delay(ms, false, { ref: false })]),
    leave: () => void socket.destroy(),
  };
}

async function write(socket: Socket, bytes: Buffer, gone: Promise<void>): Promise<boolean> {
  if (socket.writable && socket.write(bytes)) {
    // What came from the server, and everybody else, has its turn between two writes.
    await nextTurn();
  } else if (socket.writable) {
    await Promise.race([new Promise((resolve) => socket.once('drain', resolve)), gone]);
  } else {
    await nextTurn();
  }
  return socket.writable;
}
