import { formatArray, parseArray } from './array-text.js';

/**
 * How values cross the border, for both drivers, so that they agree by construction. What is not
 * listed here (numeric, date, interval, enums …) arrives as PostgreSQL's own text.
 */
type Parse = (text: string) => unknown;

function parseInt8(text: string): number {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError('int8 beyond 2^53 does not fit a number');
  return value;
}

function parseBytea(text: string): Buffer {
  if (!text.startsWith('\\x')) throw new Error("bytea must arrive as hex: bytea_output = 'hex'");
  return Buffer.from(text.slice(2), 'hex');
}

const TIMESTAMP = /^(\d{4}-\d\d-\d\d) (\d\d:\d\d:\d\d)(\.\d+)?([+-]\d\d)(:\d\d)?$/;

/** Microseconds are cut to milliseconds. `infinity` and years beyond 9999 are refused. */
function parseTimestamp(text: string): Date {
  const found = TIMESTAMP.exec(text);
  if (found === null) throw new Error("timestamptz out of range, or DateStyle is not 'ISO'");
  const [, date, time, fraction = '', hours, minutes = ':00'] = found;
  return new Date(`${date}T${time}${fraction.slice(0, 4)}${hours}${minutes}`);
}

const parseText: Parse = (text) => text;
const parseBoolean: Parse = (text) => text === 't';
const parseJson: Parse = (text) => JSON.parse(text) as unknown;
const arrayOf =
  (parse: Parse): Parse =>
  (text) =>
    parseArray(text, parse);

/** Parsers by type oid (`pg_type.oid`, fixed for built-in types). */
export const parsers: Readonly<Record<number, Parse>> = {
  16: parseBoolean,
  17: parseBytea,
  20: parseInt8,
  21: Number,
  23: Number,
  26: Number,
  700: Number,
  701: Number,
  114: parseJson,
  3802: parseJson,
  1184: parseTimestamp,
  1000: arrayOf(parseBoolean),
  1001: arrayOf(parseBytea),
  1003: arrayOf(parseText),
  1005: arrayOf(Number),
  1007: arrayOf(Number),
  1009: arrayOf(parseText),
  1015: arrayOf(parseText),
  1016: arrayOf(parseInt8),
  1022: arrayOf(Number),
  1185: arrayOf(parseTimestamp),
  2951: arrayOf(parseText),
  3807: arrayOf(parseJson),
};

/**
 * A parameter as it goes out: text, bytes or null. Objects are refused, so that JSON is always
 * written by the one who knows what is in it; `undefined` is refused, because it is a forgotten field.
 */
export function encodeParameter(value: unknown): string | Buffer | null {
  if (value instanceof Uint8Array) {
    return Buffer.from(value.buffer, value.byteOffset, value.byteLength);
  }
  if (Array.isArray(value)) {
    return formatArray(value.map(encodeElement));
  }
  return encodeScalar(value);
}

function encodeElement(value: unknown): string | null {
  if (value instanceof Uint8Array) return bytesAsText(value);
  return encodeScalar(value);
}

function encodeScalar(value: unknown): string | null {
  if (value === null) return null;
  if (value instanceof Date) return value.toISOString();
  switch (typeof value) {
    case 'string':
      return value;
    case 'number':
      if (!Number.isFinite(value)) throw new TypeError('a parameter must be a finite number');
      return String(value);
    case 'boolean':
    case 'bigint':
      return String(value);
    default:
      throw new TypeError(`a parameter cannot be of type ${typeof value}: serialise JSON first`);
  }
}

/** Bytes in the text form of bytea, where a driver cannot send them as they are. */
export function bytesAsText(bytes: Uint8Array): string {
  return `\\x${Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength).toString('hex')}`;
}
