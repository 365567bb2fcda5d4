import { deflateSync, gzipSync } from 'node:zlib';
import { frame } from '../support/raw-frames.js';
import { type Attack, flood, repeated } from './floods.js';
import * as h2 from './frames.js';

const INTROSPECT = 'countersign.v1.AuthService/IntrospectToken';
const MIB = 1024 * 1024;

const HUGE = Buffer.alloc(100 * MIB);

/** Bodies for a call of its own each, with the name of their encoding. */
function bodies(encoding: string, make: () => Buffer): Attack[2] {
  return async ({ open }) => {
    const on = await open();
    const bytes = make();
    let stream = -1;
    await flood(on, () => {
      stream += 2;
      return Buffer.concat([
        h2.beginCall(stream, INTROSPECT, { 'grpc-encoding': encoding }),
        h2.body(stream, bytes, { end: true }),
      ]);
    });
  };
}

/** A length that lies: nothing may be kept ready for what is only promised. */
function promise(length: number): Buffer {
  const bytes = Buffer.alloc(6);
  bytes.writeUInt32BE(length, 1);
  return bytes;
}

/** Field 1 within field 1 and so on, as deep as the bytes reach: groups, then messages. */
function nestedGroups(bytes: number): Buffer {
  return Buffer.alloc(bytes, 0x0b);
}

function nestedMessages(bytes: number): Buffer {
  const parts: Buffer[] = [];
  let size = 0;
  while (size < bytes - 4) {
    const head = Buffer.concat([Buffer.from([0x0a]), varint(size)]);
    parts.push(head);
    size += head.length;
  }
  return Buffer.concat(parts.toReversed());
}

function varint(value: number): Buffer {
  const bytes: number[] = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

const LARGEST = 60 * 1024;

export const BODIES: readonly Attack[] = [
  [
    'gzip: a small frame that inflates to 100 MiB',
    'bounded',
    bodies('gzip', () => frame(gzipSync(HUGE).subarray(0, LARGEST), { compressed: true })),
  ],
  [
    'deflate: a small frame that inflates to 100 MiB',
    'bounded',
    bodies('deflate', () => frame(deflateSync(HUGE).subarray(0, LARGEST), { compressed: true })),
  ],
  [
    'gzip: thousands of messages in one call',
    'bounded',
    bodies('gzip', () => repeated(frame(gzipSync(Buffer.alloc(0)), { compressed: true }), 2_400)),
  ],
  [
    'thousands of empty messages in one call',
    'bounded',
    bodies('identity', () => Buffer.alloc(5 * 12_000)),
  ],
  ['a length of 4 GiB', 'bounded', bodies('identity', () => promise(0xffffffff))],
  [
    'a length of all that is taken, and one byte',
    'bounded',
    bodies('identity', () => promise(64 * 1024)),
  ],
  ['groups in groups', 'bounded', bodies('identity', () => frame(nestedGroups(LARGEST)))],
  ['messages in messages', 'bounded', bodies('identity', () => frame(nestedMessages(LARGEST)))],
];
