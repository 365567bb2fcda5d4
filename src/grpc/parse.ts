import { BinaryReader } from '@bufbuild/protobuf/wire';
import { validate } from 'uuid';
import { DomainError, fieldInvalid } from '../core/errors.js';

/** Code points of a name that people read. */
export const MAX_NAME = 100;

/** proto3 has no "must be set": in this contract an empty string means absent. */
export function given(value: string | undefined): string | undefined {
  return value === undefined || value === '' ? undefined : value;
}

/** A text that must be there, and may be `max` UTF-16 units long. */
export function required(field: string, value: string | undefined, max: number): string {
  const text = given(value);
  if (text === undefined) throw fieldInvalid(field, 'must not be empty');
  if (text.length > max) throw fieldInvalid(field, `must have at most ${max} characters`);
  return text;
}

/** An id of ours, or a `request_id`: a UUID in its usual spelling, returned in lower case. */
export function uuid(field: string, value: string): string {
  if (!validate(value)) throw fieldInvalid(field, 'must be a UUID');
  return value.toLowerCase();
}

/** The same, where it may be left out. */
export function optionalUuid(field: string, value: string | undefined): string | undefined {
  const text = given(value);
  return text === undefined ? undefined : uuid(field, text);
}

/** The generated decoders pass broken UTF-8 as U+FFFD, which would make different passwords equal. */
const utf8 = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
const decodeUtf8 = (bytes: Uint8Array): string => utf8.decode(bytes);

/**
 * Reads a message. What cannot be read names no field of it, so `request` stands for the whole; the
 * decoder's own words stay out, because they may quote the bytes.
 */
export function decode<Request>(bytes: Buffer, read: (input: BinaryReader) => Request): Request {
  try {
    return read(new BinaryReader(bytes, decodeUtf8));
  } catch {
    throw fieldInvalid('request', 'is not a message of this type');
  }
}

/**
 * Reads every field and tells of all that are wrong at once: the first decides the reason, the
 * violations are everybody's. What is not a refusal of a field is thrown as it is.
 */
export function together<Readers extends Record<string, () => unknown>>(
  readers: Readers,
): { [Name in keyof Readers]: ReturnType<Readers[Name]> } {
  const values: Record<string, unknown> = {};
  const refusals: DomainError[] = [];
  for (const [name, read] of Object.entries(readers)) {
    try {
      values[name] = read();
    } catch (error) {
      if (!(error instanceof DomainError)) throw error;
      refusals.push(error);
    }
  }
  const [first] = refusals;
  if (first === undefined) return values as { [Name in keyof Readers]: ReturnType<Readers[Name]> };
  throw new DomainError(first.reason, first.message, {
    metadata: first.metadata,
    violations: refusals.flatMap((refusal) => refusal.violations),
  });
}
