import type { Metadata } from '@grpc/grpc-js';
import {
  BadRequest,
  ErrorInfo,
  RequestInfo,
  RetryInfo,
} from '../../generated/google/rpc/error_details.js';
import { Status } from '../../generated/google/rpc/status.js';

const DOMAIN = 'countersign.v1';
const TYPE_PREFIX = 'type.googleapis.com/';

/** One field that the server refused, by its proto name (`phone_number`). */
export interface FieldViolation {
  readonly field: string;
  /** For the developer who reads the log; people read the catalogue's texts. */
  readonly description: string;
}

export interface ParsedDetails {
  /**
   * As it stands on the wire, perhaps younger than this client; undefined where none of ours came.
   */
  readonly reason: string | undefined;
  readonly metadata: Readonly<Record<string, string>>;
  readonly retryAfter: number | undefined;
  readonly violations: readonly FieldViolation[];
  readonly requestId: string | undefined;
}

/**
 * Reads `grpc-status-details-bin` and the trailing keys. What cannot be read is skipped: a proxy or
 * a foreign server may send anything there, and an error about an error helps nobody.
 */
export function parseDetails(trailing: Metadata): ParsedDetails {
  const details = readDetails(trailing);
  const info = details.all(ErrorInfo).find(({ domain }) => domain === DOMAIN);
  const bad = details.all(BadRequest)[0];
  return {
    reason: info?.reason,
    metadata: Object.freeze({ ...info?.metadata }),
    retryAfter: retrySeconds(details.all(RetryInfo)[0]) ?? retryAfterOf(trailing),
    violations:
      bad?.fieldViolations.map(({ field, description }) => ({ field, description })) ?? [],
    requestId: requestIdOf(trailing) ?? (details.all(RequestInfo)[0]?.requestId || undefined),
  };
}

/** Whole seconds of the trailing key `retry-after`; it also stands on held-back successes. */
export function retryAfterOf(trailing: Metadata): number | undefined {
  const text = firstText(trailing, 'retry-after');
  return text !== undefined && /^\d{1,9}$/.test(text) ? Number(text) : undefined;
}

export function requestIdOf(trailing: Metadata): string | undefined {
  return firstText(trailing, 'countersign-request-id');
}

interface Codec<Message> {
  readonly $type: string;
  decode(input: Uint8Array): Message;
}

function readDetails(trailing: Metadata): { all<Message>(codec: Codec<Message>): Message[] } {
  const bytes = trailing.get('grpc-status-details-bin')[0];
  const status = bytes instanceof Buffer ? attempt(() => Status.decode(bytes)) : undefined;
  return {
    all: (codec) =>
      (status?.details ?? [])
        .filter(({ typeUrl }) => typeUrl === TYPE_PREFIX + codec.$type)
        .map(({ value }) => attempt(() => codec.decode(value)))
        .filter((message) => message !== undefined),
  };
}

function attempt<Value>(read: () => Value): Value | undefined {
  try {
    return read();
  } catch {
    return undefined;
  }
}

/** Rounded up: whoever waits that long never comes too early. */
function retrySeconds(info: RetryInfo | undefined): number | undefined {
  const delay = info?.retryDelay;
  if (delay === undefined) return undefined;
  const seconds = Number(delay.seconds) + (delay.nanos > 0 ? 1 : 0);
  return Number.isSafeInteger(seconds) && seconds >= 0 ? seconds : undefined;
}

function firstText(metadata: Metadata, key: string): string | undefined {
  const value = metadata.get(key)[0];
  return typeof value === 'string' && value !== '' ? value : undefined;
}
