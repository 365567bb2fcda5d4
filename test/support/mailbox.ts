import type { RenderedMessage, Transport, Transports } from '../../src/delivery/index.js';

/** Mail and SMS of a test, in memory. */
export interface Mailbox extends Transport {
  /** What arrived, oldest first. */
  readonly messages: readonly RenderedMessage[];
  /** How many sends were begun, failed and hanging ones included. */
  readonly attempts: number;
  /** The mailbox as both transports of an outbox. */
  readonly transports: Transports;
  /** The first message, past or to come, that fits. Rejects when none has come in time. */
  waitFor(
    predicate: (message: RenderedMessage) => boolean,
    timeoutMs?: number,
  ): Promise<RenderedMessage>;
  /** The latest code that was sent to an address; notices have none. Throws where none was sent. */
  codeFor(to: string): string;
  /** The next sends fail, as when the provider is down. */
  failNext(count: number, error?: Error): void;
  /** From now on sends never answer, until the returned function lets later ones pass again. */
  hang(): () => void;
}

/** At the beginning of an SMS, or in a line of its own in a mail. */
const CODE = /^(?:[0-9]{20}|[0-9]{4,8})(?= |$)/m;

export function createMailbox(): Mailbox {
  const messages: RenderedMessage[] = [];
  const arrivals = new Set<(message: RenderedMessage) => void>();
  let attempts = 0;
  let failures = 0;
  let failure = new Error('the provider is down');
  let hanging = false;

  const transport: Transport = {
    async send(message, signal) {
      attempts += 1;
      if (hanging) await new Promise<never>((_, reject) => rejectOnAbort(signal, reject));
      if (failures > 0) {
        failures -= 1;
        throw failure;
      }
      messages.push(message);
      for (const arrival of arrivals) arrival(message);
    },
  };

  return {
    ...transport,
    messages,
    transports: { email: transport, sms: transport },
    get attempts() {
      return attempts;
    },
    waitFor(predicate, timeoutMs = 5_000) {
      const found = messages.find(predicate);
      if (found !== undefined) return Promise.resolve(found);
      return new Promise((resolve, reject) => {
        const end = (): void => {
          clearTimeout(timer);
          arrivals.delete(arrival);
        };
        const arrival = (message: RenderedMessage): void => {
          if (!predicate(message)) return;
          end();
          resolve(message);
        };
        const timer = setTimeout(() => {
          end();
          reject(
            new Error(`no such message within ${timeoutMs} ms, but ${messages.length} others`),
          );
        }, timeoutMs);
        arrivals.add(arrival);
      });
    },
    codeFor(to) {
      const latest = messages.findLast((message) => message.to === to && CODE.test(message.text));
      const code = CODE.exec(latest?.text ?? '')?.[0];
      if (code === undefined) throw new Error('the address has got no message with a code');
      return code;
    },
    failNext(count, error = new Error('the provider is down')) {
      failures = count;
      failure = error;
    },
    hang() {
      hanging = true;
      return () => {
        hanging = false;
      };
    },
  };
}

function rejectOnAbort(signal: AbortSignal, reject: (reason: unknown) => void): void {
  if (signal.aborted) reject(signal.reason);
  signal.addEventListener('abort', () => reject(signal.reason), { once: true });
}
