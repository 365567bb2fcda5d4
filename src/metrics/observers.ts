import type { DeliveryObserver } from '../delivery/index.js';
import type { EdgeObserver } from '../grpc/index.js';
import type { HashLaneObserver } from '../passwords/index.js';
import type { LimiterName } from '../throttling/index.js';
import type { Instruments } from './instruments.js';

/** From a signature check to the longest that a call may take by default. */
const CALL_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 15];
const HASH_SECONDS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

/**
 * Labels are bound to the values that are known beforehand, once: prom-client's `labels` costs more
 * than the count itself. The rest (codes, reasons) are closed lists of the contract.
 */
export function edgeObserver({ counter, histogram, reading }: Instruments): EdgeObserver {
  const calls = counter('countersign_rpc_calls_total', 'Calls answered, by gRPC status code.', [
    'method',
    'code',
  ]);
  const errors = counter(
    'countersign_rpc_errors_total',
    'Calls answered with an error, by reason; by status code where there is no reason.',
    ['method', 'reason'],
  );
  const durations = histogram(
    'countersign_rpc_duration_seconds',
    'From the arrival of the request to the answer.',
    CALL_SECONDS,
    ['method'],
  );
  const refused = counter(
    'countersign_rpc_refused_total',
    'Calls refused before an RPC saw them: unreadable, too large, of unknown encoding.',
    ['code'],
  );
  let inFlight = 0;
  reading('countersign_rpc_in_flight', 'Calls being worked on.', 'sum', () => inFlight);
  return {
    rpc(method) {
      const duration = durations.labels(method);
      durations.zero({ method });
      calls.inc({ method, code: 'OK' }, 0);
      return {
        began() {
          inFlight += 1;
        },
        answered(code, reason, seconds) {
          inFlight -= 1;
          calls.inc({ method, code });
          if (code !== 'OK') errors.inc({ method, reason });
          duration.observe(seconds);
        },
      };
    },
    refused: (code) => refused.inc({ code }),
  };
}

export function hashLaneObserver({ counter, histogram }: Instruments): HashLaneObserver {
  const waits = histogram(
    'countersign_hash_wait_seconds',
    'How long calls waited for their password hash to begin.',
    // Most wait for nobody.
    [0.001, ...HASH_SECONDS],
  );
  const hashes = histogram(
    'countersign_hash_duration_seconds',
    'Time of one password hash; its count is the number of hashes computed.',
    HASH_SECONDS,
  );
  const shed = counter(
    'countersign_hash_shed_total',
    'Calls refused with OVERLOADED because their hash would have come too late.',
  );
  return {
    waited: (seconds) => waits.observe(seconds),
    hashed: (seconds) => hashes.observe(seconds),
    shed: () => shed.inc(),
  };
}

export interface LimiterObserver {
  decided(limiter: LimiterName, outcome: 'admitted' | 'refused'): void;
  insurance(active: boolean): void;
}

export function limiterObserver({ counter, gauge }: Instruments): LimiterObserver {
  const decisions = counter(
    'countersign_limiter_decisions_total',
    'Charges on soft limits, by limiter and outcome (admitted, refused).',
    ['limiter', 'outcome'],
  );
  const insurance = gauge(
    'countersign_limiter_insurance_active',
    '1 while Redis does not answer and stricter limits in memory stand in for it; else 0.',
    'max',
  );
  return {
    decided: (limiter, outcome) => decisions.inc({ limiter, outcome }),
    insurance: (active) => insurance.set(Number(active)),
  };
}

export function deliveryObserver({ counter, gauge }: Instruments): DeliveryObserver {
  const sent = counter('countersign_messages_sent_total', 'Messages that a provider took.', [
    'channel',
  ]);
  const failed = counter(
    'countersign_messages_failed_total',
    'Attempts to send that failed; each is repeated until the message expires.',
    ['channel'],
  );
  const dropped = counter(
    'countersign_messages_dropped_total',
    'Requests of anonymous calls that no message was due for.',
    ['channel'],
  );
  const expired = counter(
    'countersign_messages_expired_total',
    'Messages never sent, because their lifetime was over.',
  );
  const oldest = gauge(
    'countersign_outbox_oldest_unsent_seconds',
    'Age of the oldest unsent message in the database, measured every 15 s; 0: none.',
    'max',
  );
  for (const channel of ['email', 'sms']) {
    sent.inc({ channel }, 0);
    failed.inc({ channel }, 0);
    dropped.inc({ channel }, 0);
  }
  return {
    sent: (channel) => sent.inc({ channel }),
    failed: (channel) => failed.inc({ channel }),
    dropped: (channel) => dropped.inc({ channel }),
    expired: (messages) => expired.inc(messages),
    oldestUnsent: (ageSeconds) => oldest.set(ageSeconds),
  };
}
