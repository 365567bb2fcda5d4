export const INTROSPECT = 'countersign.v1.AuthService/IntrospectToken';

export const UNKNOWN: readonly string[] = [
  '__proto__/constructor',
  'countersign.v1.AuthService/__proto__',
  'countersign.v1.AuthService/signIn',
  'countersign.v1.AuthService/',
  'countersign.v1.AuthService',
  'toString',
  'unknown/',
  '',
  `${'x'.repeat(4_000)}/y`,
];

type Headers = Readonly<Record<string, string | undefined>>;

/** With the HTTP status, and the one of gRPC where it comes to that. */
export const REFUSED: readonly (readonly [string, Headers, object])[] = [
  ['another content type', { 'content-type': 'text/html' }, { http: 415, status: undefined }],
  ['JSON', { 'content-type': 'application/json' }, { http: 415, status: undefined }],
  ['no duration', { 'grpc-timeout': 'soon' }, { http: 200, status: 3 }],
  ['a duration without a unit', { 'grpc-timeout': '1' }, { http: 200, status: 3 }],
  // Not a call to the gRPC library, which answers whatever has the type of one.
  [
    'CONNECT, which names no method',
    { ':method': 'CONNECT', ':path': undefined, ':authority': 'x' },
    { http: 200, status: 12 },
  ],
  ['more metadata than any honest call has', { x: 'y'.repeat(17_000) }, { http: 200, status: 3 }],
];

export const ANSWERED: readonly (readonly [string, Headers])[] = [
  ['__proto__ as a key', { ['__proto__']: 'x' }],
  [
    'constructor, prototype and toString as keys',
    { constructor: 'x', prototype: 'x', toString: 'x' },
  ],
  ['binary metadata that is no base64', { 'x-bin': '%%%' }],
  ['no word that trailers are understood', { te: undefined }],
  ['another method of HTTP', { ':method': 'PUT' }],
  ['the longest duration', { 'grpc-timeout': '99999999S' }],
  // grpc-js reads what it finds in it.
  ['a duration of less than nothing', { 'grpc-timeout': '-1S' }],
  ['a duration of nine digits', { 'grpc-timeout': '999999999S' }],
  ['an unknown encoding, of what is not encoded', { 'grpc-encoding': '__proto__' }],
];

const text = (value: string): Buffer => Buffer.from(value);

export const ODD_BODIES: readonly (readonly [string, Buffer, number])[] = [
  ['JSON', text('{"accessToken":"x"}'), 3],
  ['a field nobody knows', Buffer.from([0xfa, 0x3f, 1, 0x78]), 0],
  ['a field number of nought', Buffer.from([0x02, 1, 0x78]), 0],
  ['a length beyond the end', Buffer.from([0x0a, 0x7f, 0x78]), 3],
  ['bytes that are no UTF-8', Buffer.from([0x0a, 2, 0xc3, 0x28]), 3],
  ['a varint that never ends', Buffer.alloc(20, 0xff), 3],
];
