import { credentials } from '@grpc/grpc-js';
import {
  HealthClient,
  HealthCheckResponse_ServingStatus as ServingStatus,
} from '../../generated/grpc/health/v1/health.js';

export type HealthAnswer = 'serving' | 'not serving' | 'no answer';

export interface HealthWatch {
  readonly seen: readonly HealthAnswer[];
  /** Called after each status that comes. */
  onChange(listener: () => void): void;
}

export interface HealthProbe {
  /** What the standard health service says now. */
  ask(): Promise<HealthAnswer>;
  /** Every status from now on, as a watch tells them. */
  watch(): HealthWatch;
  close(): void;
}

export function healthOf(address: string): HealthProbe {
  const client = new HealthClient(address, credentials.createInsecure());
  return {
    ask: () =>
      new Promise((resolve) => {
        client.check({ service: '' }, (error, answer) => {
          resolve(error === null ? nameOf(answer.status) : 'no answer');
        });
      }),
    watch() {
      const seen: HealthAnswer[] = [];
      const stream = client.watch({ service: 'countersign.v1.AuthService' });
      const listeners: (() => void)[] = [];
      stream.on('data', (answer: { status: ServingStatus }) => {
        seen.push(nameOf(answer.status));
        for (const listener of listeners) listener();
      });
      // The end of the server ends the stream; what it has said before is what counts.
      stream.on('error', () => undefined);
      return { seen, onChange: (listener) => void listeners.push(listener) };
    },
    close: () => client.close(),
  };
}

function nameOf(status: ServingStatus): HealthAnswer {
  return status === ServingStatus.SERVING ? 'serving' : 'not serving';
}
