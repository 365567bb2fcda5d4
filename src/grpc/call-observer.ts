import { status } from '@grpc/grpc-js';
import { type CallSpan, openCallSpan, type ReadHeader } from '../core/tracing.js';

/** For the metrics: what becomes of the calls of one RPC. */
export interface RpcObserver {
  began(): void;
  /** @param outcome the reason, or the status where the contract has no reason. */
  answered(code: string, outcome: string, seconds: number): void;
}

export interface EdgeObserver {
  /** Asked once for each RPC, when it is registered. */
  rpc(method: string): RpcObserver;
  /** A call that was refused before an RPC saw it. */
  refused(code: string): void;
}

/** How a call was answered. */
export interface Ending {
  readonly code: status;
  readonly outcome: string;
}

/** A call whose answer could not be sent. */
export const UNANSWERED: Ending = { code: status.UNKNOWN, outcome: 'UNANSWERED' };

/** The codes that are the server's fault; the others are answers (OpenTelemetry's convention). */
const FAULTS: ReadonlySet<status> = new Set([
  status.UNKNOWN,
  status.DEADLINE_EXCEEDED,
  status.UNIMPLEMENTED,
  status.INTERNAL,
  status.UNAVAILABLE,
  status.DATA_LOSS,
]);

/** One call, to the metrics and to the trace. */
export interface ObservedCall extends Pick<CallSpan, 'run'> {
  ended(ending: Ending, seconds: number): void;
}

/** What is the same for all calls of an RPC is made once, here. */
export function observeRpc(
  method: string,
  observer: EdgeObserver | undefined,
): (read: ReadHeader) => ObservedCall {
  const [service = '', rpc = ''] = method.split('/');
  const attributes = { 'rpc.system': 'grpc', 'rpc.service': service, 'rpc.method': rpc };
  const figures = observer?.rpc(method);
  return (read) => {
    const span = openCallSpan(method, attributes, read);
    figures?.began();
    return {
      run: span.run,
      ended({ code, outcome }, seconds) {
        figures?.answered(status[code], outcome, seconds);
        const more = { 'rpc.grpc.status_code': code, 'countersign.outcome': outcome };
        span.end(more, FAULTS.has(code));
      },
    };
  };
}
