import { Metadata, status } from '@grpc/grpc-js';
import { BadRequest, ErrorInfo, RetryInfo } from '../../generated/google/rpc/error_details.js';
import { Status } from '../../generated/google/rpc/status.js';
import { DomainError } from '../core/errors.js';
import type { Random } from '../core/ids.js';
import { isCancelled, isUnavailable } from '../db/index.js';
import { RETRY_AFTER_KEY } from './call-context.js';
import { CallEndedError } from './deadline.js';
import { type EdgeReason, isReason, type Reason, statusOf } from './status.js';

const DOMAIN = 'countersign.v1';
const DETAILS_KEY = 'grpc-status-details-bin';
const TYPE_URL = 'type.googleapis.com/google.rpc.';

/** A failure as it is told: to the client, to the log and to the audit. */
export interface Failure {
  readonly code: status;
  readonly message: string;
  /** For the log and the audit: the reason, or the status where the contract has no reason. */
  readonly outcome: string;
  /** Goes to the client as trailers. */
  readonly metadata: Metadata;
  /** Set for a fault of ours, which is logged with its stack under this name. */
  readonly reference: string | undefined;
}

/**
 * What a thrown value tells the client. A `DomainError` speaks for itself; what the database says
 * while it is away becomes `UNAVAILABLE`; anything else keeps what it knows to itself, and the client
 * gets `reference` to ask about (rule 20).
 */
export function failureOf(error: unknown, random: Pick<Random, 'handle'>): Failure {
  if (error instanceof CallEndedError) return ended(error);
  if (error instanceof DomainError && isReason(error.reason)) {
    return told(error.reason, error.message, error);
  }
  if (isUnavailable(error) || isCancelled(error)) {
    return edge(
      'DEPENDENCY_UNAVAILABLE',
      'something that this service needs is away; try again',
      {},
    );
  }
  const reference = random.handle();
  const message = 'an unexpected error; its reference names it in the logs';
  return { ...edge('INTERNAL', message, { reference }), reference };
}

function edge(
  reason: EdgeReason,
  message: string,
  metadata: Readonly<Record<string, string>>,
): Failure {
  return told(reason, message, { metadata, violations: [], retryAfterSeconds: undefined });
}

type Told = Pick<DomainError, 'metadata' | 'violations' | 'retryAfterSeconds'>;

/** By the error itself: the hash lane throws one and the same to all that it sheds (`hash-lane.ts`). */
const written = new WeakMap<Told, Buffer>();

function told(reason: Reason, message: string, error: Told): Failure {
  const code = statusOf[reason];
  const metadata = new Metadata();
  if (error.retryAfterSeconds !== undefined) {
    metadata.set(RETRY_AFTER_KEY, String(wholeSeconds(error.retryAfterSeconds)));
  }
  let details = written.get(error);
  if (details === undefined) {
    details = detailsOf(reason, code, message, error);
    written.set(error, details);
  }
  metadata.set(DETAILS_KEY, details);
  return { code, message, outcome: reason, metadata, reference: undefined };
}

function detailsOf(reason: Reason, code: status, message: string, error: Told): Buffer {
  const details = [
    any('ErrorInfo', ErrorInfo.encode({ reason, domain: DOMAIN, metadata: error.metadata })),
  ];
  if (error.violations.length > 0) {
    details.push(any('BadRequest', BadRequest.encode({ fieldViolations: [...error.violations] })));
  }
  if (error.retryAfterSeconds !== undefined) {
    const retryDelay = { seconds: BigInt(wholeSeconds(error.retryAfterSeconds)), nanos: 0 };
    details.push(any('RetryInfo', RetryInfo.encode({ retryDelay })));
  }
  return encoded(code, message, details);
}

/** The contract has no reason for these two: gRPC's own status says all there is. */
function ended({ ending, message }: CallEndedError): Failure {
  return bareFailure(ending === 'deadline' ? status.DEADLINE_EXCEEDED : status.CANCELLED, message);
}

/** A failure that has no reason in the contract: of gRPC itself, or of its standard services. */
export function bareFailure(code: status, message: string): Failure {
  const metadata = new Metadata();
  metadata.set(DETAILS_KEY, encoded(code, message, []));
  return { code, message, outcome: status[code], metadata, reference: undefined };
}

/** Whether a status says all that the contract promises of it. */
export function hasDetails(metadata: Metadata | null | undefined): boolean {
  return (metadata?.get(DETAILS_KEY).length ?? 0) > 0;
}

function encoded(code: status, message: string, details: Status['details']): Buffer {
  return Buffer.from(Status.encode({ code, message, details }).finish());
}

function any(name: string, writer: { finish(): Uint8Array }): Status['details'][number] {
  return { typeUrl: TYPE_URL + name, value: Buffer.from(writer.finish()) };
}

/** Never 0, which would say "now". */
export function wholeSeconds(seconds: number): number {
  return Math.max(1, Math.ceil(seconds));
}
