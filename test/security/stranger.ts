import { createHash, randomBytes } from 'node:crypto';
import * as messages from '../../generated/countersign/v1/auth_service.js';
import {
  AuthServiceService,
  type DeepPartial,
} from '../../generated/countersign/v1/auth_service.js';
import { RetryInfo } from '../../generated/google/rpc/error_details.js';
import { Status } from '../../generated/google/rpc/status.js';
import { frame, type RawAnswer, sendRaw } from '../support/raw-frames.js';
import type { TestApp } from '../support/test-app.js';
import type { WatchedDatabase } from './watched-database.js';

type Methods = typeof AuthServiceService;
export type Method = keyof Methods;
type RequestOf<M extends Method> = ReturnType<Methods[M]['requestDeserialize']>;
export type Fields<M extends Method> = DeepPartial<RequestOf<M>>;

/** What one call showed to who made it, and what the server did for it. */
export interface Observation {
  readonly method: Method;
  /** `OK`, or the number of a gRPC status. */
  readonly status: string;
  /** Rounded to ten seconds, as every moment is: calls take time. */
  readonly retryAfter: number | undefined;
  /** Bytes of the answer and of the error's details, ids, tokens and moments replaced. */
  readonly body: string;
  readonly details: string;
  readonly headers: Readonly<Record<string, unknown>>;
  /** Statements of the call itself, shortened: the workers' own are not among them. */
  readonly statements: readonly string[];
  readonly hashes: number;
}

/** Where a stranger calls, and by what the server is watched meanwhile. */
export interface Stage {
  readonly app: Pick<TestApp, 'address' | 'clock' | 'hasher'>;
  readonly watched: WatchedDatabase;
  readonly callerKey: string;
}

/**
 * Somebody without a session who calls through a BFF. All that differs from one stranger to another by
 * chance (ids, tokens, moments, what they typed) is replaced by what it stands for, in the order in which it
 * appeared: whatever still differs tells something.
 */
export class Stranger {
  readonly seen: Observation[] = [];
  readonly #names = new Map<string, string>();
  #source = newSource();

  constructor(
    private stage: Stage,
    typed: Readonly<Record<string, string>>,
  ) {
    for (const [name, value] of Object.entries(typed)) {
      this.#names.set(value, name.padEnd(value.length, '.'));
    }
  }

  /** From now on from another network. */
  elsewhere(): void {
    this.#source = newSource();
  }

  /** The same, at a server with other settings. */
  at(stage: Stage): void {
    this.stage = stage;
  }

  /** Something of this stranger's own that others have otherwise: a new username. */
  own(name: string, value: string): string {
    this.#names.set(value, name.padEnd(value.length, '.'));
    return value;
  }

  /** Makes a call, and notes what was to be seen. Answers the ids in the answer. */
  async call<M extends Method>(method: M, fields: Fields<M>): Promise<readonly string[]> {
    const { app, watched, callerKey } = this.stage;
    const before = hashesOf(app.hasher);
    watched.reset();
    const answer = await sendRaw({
      address: app.address,
      method: AuthServiceService[method].path.slice(1),
      chunks: [frame(serialized(method, fields))],
      headers: {
        'countersign-request-id': 'same',
        'countersign-caller-key': callerKey,
        'countersign-client-address': this.#source,
      },
    });
    const statements = watched.statements().map(shortened);
    const hashes = hashesOf(app.hasher) - before;
    const { body, ids } = this.#body(method, answer);
    this.seen.push({ method, ...this.#trailers(answer), body, statements, hashes });
    return ids;
  }

  #trailers({ headers }: RawAnswer) {
    const {
      date: _,
      'grpc-status': status,
      'retry-after': wait,
      'grpc-status-details-bin': details,
      ...rest
    } = headers;
    return {
      status: status === '0' ? 'OK' : String(status),
      retryAfter: wait === undefined ? undefined : toTens(Number(wait)),
      details: details === undefined ? '' : roundedDetails(String(details)),
      headers: { ...rest },
    };
  }

  #body(method: Method, { body }: RawAnswer): { body: string; ids: readonly string[] } {
    if (body.length === 0) return { body: '', ids: [] };
    const codec = codecOf(`${method}Response`);
    const ids: string[] = [];
    const replaced = this.#replace(codec.decode(body.subarray(5)), ids);
    return { body: Buffer.from(codec.encode(replaced).finish()).toString('latin1'), ids };
  }

  #replace(value: unknown, ids: string[]): unknown {
    if (value instanceof Date) {
      const seconds = (value.getTime() - this.stage.app.clock.now().getTime()) / 1_000;
      return new Date(10 ** 12 + toTens(seconds) * 1_000);
    }
    if (Array.isArray(value)) return value.map((item) => this.#replace(item, ids));
    if (typeof value === 'object' && value !== null) {
      return Object.fromEntries(
        Object.entries(value).map(([key, item]) => [key, this.#replace(item, ids)]),
      );
    }
    if (typeof value !== 'string') return value;
    if (UUID.test(value)) {
      ids.push(value);
      if (!this.#names.has(value)) this.own(`id ${this.#names.size}`, value);
    }
    // A token: signed or random, and as long for everybody.
    if (value.length > 60) return 'token'.padEnd(value.length, '.');
    return this.#names.get(value) ?? value;
  }
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

const toTens = (seconds: number): number => Math.round(seconds / 10) * 10;

const hashesOf = ({ counts }: TestApp['hasher']): number =>
  counts.hashes + counts.verifications + counts.decoys;

/** Its beginning for people, the hash for the rest of it. */
function shortened(statement: string): string {
  const flat = statement.replaceAll(/\s+/g, ' ').trim();
  return `${flat.slice(0, 60)}… ${createHash('sha256').update(flat).digest('hex').slice(0, 12)}`;
}

interface AnyCodec {
  encode(message: unknown): { finish(): Uint8Array };
  decode(bytes: Uint8Array): unknown;
  fromPartial(fields: unknown): unknown;
}

function codecOf(name: string): AnyCodec {
  const codecs = messages as unknown as Readonly<Record<string, AnyCodec>>;
  const codec = codecs[name.charAt(0).toUpperCase() + name.slice(1)];
  if (codec === undefined) throw new Error(`there is no message ${name}`);
  return codec;
}

function serialized<M extends Method>(method: M, fields: Fields<M>): Buffer {
  const codec = codecOf(`${method}Request`);
  return Buffer.from(codec.encode(codec.fromPartial(fields)).finish());
}

function roundedDetails(base64: string): string {
  const status = Status.decode(Buffer.from(base64, 'base64'));
  const details = status.details.map((detail) => {
    if (!detail.typeUrl.endsWith(RetryInfo.$type)) return detail;
    const { retryDelay } = RetryInfo.decode(detail.value);
    const seconds = BigInt(toTens(Number(retryDelay?.seconds ?? 0)));
    const value = Buffer.from(RetryInfo.encode({ retryDelay: { seconds, nanos: 0 } }).finish());
    return { ...detail, value };
  });
  return Buffer.from(Status.encode({ ...status, details }).finish()).toString('latin1');
}

/** A network that no other stranger is on. */
function newSource(): string {
  const [a = 0, b = 0, c = 0] = randomBytes(3);
  return `10.${a}.${b}.${c}`;
}
