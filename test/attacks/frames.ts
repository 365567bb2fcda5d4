/** HTTP/2 by hand (RFC 9113, RFC 7541): frames that no library lets one write. */

export const DATA = 0;
export const HEADERS = 1;
export const PRIORITY = 2;
export const RST_STREAM = 3;
export const SETTINGS = 4;
export const PING = 6;
export const GOAWAY = 7;
export const WINDOW_UPDATE = 8;
export const CONTINUATION = 9;

export const END_STREAM = 1;
export const END_HEADERS = 4;

export const PREFACE = Buffer.from('PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n');

const HEADER_BYTES = 9;

export function http2Frame(
  type: number,
  flags: number,
  stream: number,
  payload: Buffer = Buffer.alloc(0),
): Buffer {
  const head = Buffer.alloc(HEADER_BYTES);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return Buffer.concat([head, payload]);
}

/** A SETTINGS frame of these pairs, in their order. */
export function settings(...pairs: readonly (readonly [id: number, value: number])[]): Buffer {
  const payload = Buffer.alloc(pairs.length * 6);
  for (const [at, [id, value]] of pairs.entries()) {
    payload.writeUInt16BE(id, at * 6);
    payload.writeUInt32BE(value, at * 6 + 2);
  }
  return http2Frame(SETTINGS, 0, 0, payload);
}

export const INITIAL_WINDOW_SIZE = 4;

export function windowUpdate(stream: number, bytes: number): Buffer {
  return http2Frame(WINDOW_UPDATE, 0, stream, uint32(bytes));
}

export function reset(stream: number): Buffer {
  const CANCEL = 8;
  return http2Frame(RST_STREAM, 0, stream, uint32(CANCEL));
}

export function uint32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeUInt32BE(value);
  return bytes;
}

export type Header = readonly [name: string, value: string];

/** Every header as a literal that enters no table: what was sent is what arrives. */
export function headerBlock(headers: readonly Header[]): Buffer {
  return Buffer.concat(
    headers.map(([name, value]) => Buffer.concat([Buffer.from([0]), text(name), text(value)])),
  );
}

/** Enters the peer's table, where its index is 62 until another follows. */
export function indexedLiteral([name, value]: Header): Buffer {
  return Buffer.concat([Buffer.from([0x40]), text(name), text(value)]);
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'latin1');
  return Buffer.concat([prefixed(bytes.length), bytes]);
}

/** An integer with a prefix of 7 bits. */
function prefixed(value: number): Buffer {
  const LARGEST = 127;
  if (value < LARGEST) return Buffer.from([value]);
  const bytes = [LARGEST];
  let rest = value - LARGEST;
  for (; rest >= 128; rest = Math.floor(rest / 128)) bytes.push((rest % 128) + 128);
  return Buffer.from([...bytes, rest]);
}

/** The headers of a call, with those of `more` in addition or in place. */
export function callHeaders(
  method: string,
  more: Readonly<Record<string, string | undefined>> = {},
): readonly Header[] {
  const headers = {
    ':method': 'POST',
    ':scheme': 'http',
    ':path': `/${method}`,
    ':authority': 'attacker',
    te: 'trailers',
    'content-type': 'application/grpc',
    ...more,
  };
  return Object.entries(headers).flatMap(([name, value]) =>
    value === undefined ? [] : [[name, value] as const],
  );
}

/** Begins a call whose body may follow. */
export function beginCall(
  stream: number,
  method: string,
  more: Readonly<Record<string, string | undefined>> = {},
): Buffer {
  return http2Frame(HEADERS, END_HEADERS, stream, headerBlock(callHeaders(method, more)));
}

/** A body, or a piece of it, in frames of the size that every peer takes. */
export function body(stream: number, bytes: Buffer, { end }: { readonly end: boolean }): Buffer {
  const LARGEST = 16_384;
  const frames: Buffer[] = [];
  for (let at = 0; at < Math.max(bytes.length, 1); at += LARGEST) {
    const last = at + LARGEST >= bytes.length;
    frames.push(
      http2Frame(DATA, last && end ? END_STREAM : 0, stream, bytes.subarray(at, at + LARGEST)),
    );
  }
  return Buffer.concat(frames);
}

export type OnFrame = (type: number, payload: Buffer, flags: number, stream: number) => void;

/** Cuts a stream of bytes into frames. */
export function frameReader(onFrame: OnFrame): (bytes: Buffer) => void {
  let rest: Buffer = Buffer.alloc(0);
  return (bytes) => {
    rest = rest.length === 0 ? bytes : Buffer.concat([rest, bytes]);
    let at = 0;
    while (rest.length - at >= HEADER_BYTES) {
      const length = rest.readUIntBE(at, 3);
      if (rest.length - at < HEADER_BYTES + length) break;
      onFrame(
        rest.readUInt8(at + 3),
        rest.subarray(at + HEADER_BYTES, at + HEADER_BYTES + length),
        rest.readUInt8(at + 4),
        rest.readUInt32BE(at + 5),
      );
      at += HEADER_BYTES + length;
    }
    rest = rest.subarray(at);
  };
}
