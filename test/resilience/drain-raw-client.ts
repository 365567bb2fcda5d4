import { setTimeout as delay } from 'node:timers/promises';
import { type Attacker, attacker } from '../attacks/attacker.js';
import * as h2 from '../attacks/frames.js';
import { frame } from '../support/raw-frames.js';
import { count, type Load, type Tally } from './drain-load.js';

const PACE_MS = 5;
const RECONNECT_MS = 100;
const LONGEST_MS = 60 * 60_000;
const EMPTY = frame(Buffer.alloc(0));
const METHOD = 'countersign.v1.AuthService/GetJsonWebKeySet';

/**
 * Calls by hand-made frames, the servers in turn, a call every few milliseconds and never one twice.
 * Node's own client would not do: it refuses by itself, as if the server had, a call that was not yet
 * written when it reads a GOAWAY. Like every client it begins no call once it has been told goodbye.
 */
export function startRawClient(addresses: readonly string[], tally: Tally): Load {
  const answered = new Map<string, number>();
  const lines = addresses.map((address) => openLine(address));
  const underWay = new Set<Promise<void>>();
  let stopped = false;
  const keepCalling = async (): Promise<void> => {
    for (let turn = 0; !stopped; turn += 1) {
      const line = lines[turn % lines.length];
      const call = line?.call();
      if (line !== undefined && call !== undefined) {
        const counted = call.then((failure) => {
          count(tally, 'raw', failure);
          answered.set(line.address, (answered.get(line.address) ?? 0) + 1);
        });
        underWay.add(counted);
        void counted.finally(() => underWay.delete(counted));
      }
      await delay(PACE_MS);
    }
  };
  const calling = keepCalling();
  return {
    addresses,
    answered,
    async stop() {
      stopped = true;
      await calling;
      await Promise.all(underWay);
      for (const line of lines) line.close();
    },
  };
}

interface Line {
  readonly address: string;
  /** Why a call failed, or undefined; none is made while there is no connection. */
  call(): Promise<string | undefined> | undefined;
  close(): void;
}

/** A connection to one server, made anew whenever it is over. */
function openLine(address: string): Line {
  let current: Attacker | undefined;
  let stream = -1;
  let closed = false;
  const keepConnected = async (): Promise<void> => {
    while (!closed) {
      const pending = new Map<number, (failure: string | undefined) => void>();
      const made = await attacker(address, {
        greeting: Buffer.concat([h2.PREFACE, h2.settings(), h2.windowUpdate(0, 0x7fff0000)]),
        onFrame: (type, payload, flags, of) => {
          const ACK = 1;
          const settle = (failure?: string): void => {
            pending.get(of)?.(failure);
            pending.delete(of);
          };
          if (type === h2.SETTINGS && flags !== ACK) void made?.send(h2.http2Frame(type, ACK, 0));
          if (type === h2.PING && flags !== ACK)
            void made?.send(h2.http2Frame(type, ACK, 0, payload));
          if (type === h2.GOAWAY) current = undefined;
          if (type === h2.RST_STREAM) settle(`reset ${payload.readUInt32BE()}`);
          // A failure comes as trailers alone, an answer as headers, data and trailers.
          if (type === h2.DATA) answers.add(of);
          if (type === h2.HEADERS && (flags & h2.END_STREAM) !== 0) {
            settle(answers.delete(of) ? undefined : 'a status that is not OK');
          }
        },
      }).catch(() => undefined);
      if (made !== undefined) {
        stream = -1;
        current = made;
        calls = pending;
        await made.endedWithin(LONGEST_MS);
        current = undefined;
        await made.closedWithin(LONGEST_MS);
        for (const fail of pending.values()) fail('cut off');
        made.leave();
      }
      await delay(RECONNECT_MS);
    }
  };
  const answers = new Set<number>();
  let calls = new Map<number, (failure: string | undefined) => void>();
  void keepConnected();
  return {
    address,
    call() {
      const on = current;
      if (on === undefined) return undefined;
      stream += 2;
      const bytes = [h2.beginCall(stream, METHOD), h2.body(stream, EMPTY, { end: true })];
      const ended = new Promise<string | undefined>((resolve) => calls.set(stream, resolve));
      void on.send(Buffer.concat(bytes));
      return ended;
    },
    close() {
      closed = true;
      current?.leave();
    },
  };
}
