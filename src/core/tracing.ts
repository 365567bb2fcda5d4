import {
  type Attributes,
  type Context,
  context,
  isSpanContextValid,
  propagation,
  ROOT_CONTEXT,
  type Span,
  type SpanContext,
  SpanKind,
  SpanStatusCode,
  trace,
} from '@opentelemetry/api';
import { DomainError } from './errors.js';

/**
 * Spans, through OpenTelemetry's API alone: an operator loads an SDK before the program, or nothing
 * happens here. No attribute holds a code, a password, a token or an address (rule 22), and no error's
 * text is recorded, which may quote one.
 */
const tracer = trace.getTracer('countersign');

/** What the work inside of a span may add to it. */
export interface SpanNotes {
  addEvent(name: string): unknown;
}

const NO_NOTES: SpanNotes = { addEvent: () => undefined };

/** The span of one call from outside. */
export interface CallSpan {
  /** Runs `work` so that what it does becomes part of the trace. */
  run<T>(work: () => T): T;
  end(attributes: Attributes, failed: boolean): void;
}

const NO_SPAN: CallSpan = { run: (work) => work(), end: () => {} };

/** Finds a header of the call; undefined where it is missing or stands there twice. */
export type ReadHeader = (name: string) => string | undefined;

/** The two of W3C Trace Context, and their lengths: nothing else of a stranger goes into a trace. */
const HEADER_LENGTHS = new Map([
  ['traceparent', 128],
  ['tracestate', 512],
]);

const headers = {
  keys: (): string[] => [...HEADER_LENGTHS.keys()],
  get(read: ReadHeader, name: string): string | undefined {
    const longest = HEADER_LENGTHS.get(name);
    const value = longest === undefined ? undefined : read(name);
    return value !== undefined && value.length <= (longest ?? 0) ? value : undefined;
  },
};

/** Begins a span under the caller's, where the call names one that the SDK's propagator accepts. */
export function openCallSpan(name: string, attributes: Attributes, read: ReadHeader): CallSpan {
  const from = propagation.extract(ROOT_CONTEXT, read, headers);
  const span = tracer.startSpan(name, { kind: SpanKind.SERVER, attributes }, from);
  // A span that is not recorded still says so to whatever the call reaches.
  if (!isSpanContextValid(span.spanContext())) return NO_SPAN;
  const inside = trace.setSpan(from, span);
  return {
    run: (work) => context.with(inside, work),
    end: (more, failed) => {
      span.setAttributes(more);
      if (failed) span.setStatus({ code: SpanStatusCode.ERROR });
      span.end();
    },
  };
}

/** Runs `work` in a child of the span that is recorded at this moment; without one, it just runs it. */
export function traced<T>(
  name: string,
  describe: () => Attributes,
  work: (notes: SpanNotes) => Promise<T>,
): Promise<T> {
  if (trace.getActiveSpan()?.isRecording() !== true) return work(NO_NOTES);
  const attributes = describe();
  const span = tracer.startSpan(name, { kind: SpanKind.CLIENT, attributes });
  return within(span, context.active(), work);
}

/** The span that is recorded at this moment, for work that is done apart from it and later. */
export function originOfWork(): SpanContext | undefined {
  const span = trace.getActiveSpan();
  return span?.isRecording() === true ? span.spanContext() : undefined;
}

/** Runs `work` in a trace of its own, with a link to where it comes from. */
export function tracedApart<T>(
  name: string,
  attributes: Attributes,
  origin: SpanContext | undefined,
  work: () => Promise<T>,
): Promise<T> {
  const links = origin === undefined ? [] : [{ context: origin }];
  const options = { kind: SpanKind.PRODUCER, root: true, attributes, links };
  const span = tracer.startSpan(name, options, ROOT_CONTEXT);
  return span.isRecording() ? within(span, ROOT_CONTEXT, work) : untraced(work);
}

/** Runs what a call merely happened to start: it belongs to all of them, and may outlive this one. */
export function untraced<T>(work: () => Promise<T>): Promise<T> {
  return context.with(ROOT_CONTEXT, work);
}

/** For log lines: which trace they belong to. Empty where none is recorded. */
export function traceFields(): { readonly trace_id?: string; readonly span_id?: string } {
  const origin = originOfWork();
  return origin === undefined ? {} : { trace_id: origin.traceId, span_id: origin.spanId };
}

function within<T>(
  span: Span,
  parent: Context,
  work: (notes: SpanNotes) => Promise<T>,
): Promise<T> {
  return context.with(trace.setSpan(parent, span), async () => {
    try {
      return await work(span);
    } catch (error) {
      span.setAttribute('error.type', classOf(error));
      span.setStatus({ code: SpanStatusCode.ERROR });
      throw error;
    } finally {
      span.end();
    }
  });
}

function classOf(error: unknown): string {
  if (error instanceof DomainError) return error.reason;
  return error instanceof Error ? error.name : 'unknown';
}
