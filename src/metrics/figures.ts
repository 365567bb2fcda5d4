import type { PoolFigures } from '../db/index.js';
import type { OutboxFigures } from '../delivery/index.js';
import type { HashLaneDepth } from '../passwords/index.js';
import type { Instruments } from './instruments.js';

/**
 * What is read when somebody scrapes. All of it stands in this process's memory: a scrape asks neither
 * the database nor Redis, and takes no longer when one of them is slow.
 */
export interface Figures {
  readonly hashLane: () => HashLaneDepth;
  readonly outbox: () => OutboxFigures;
  readonly pool: () => PoolFigures;
  readonly audit: () => { readonly waiting: number; readonly dropped: number };
  readonly endedSessions: () => { readonly size: number; readonly staleForMs: number };
  /** Whether calls are served: the database answers, and no drain has begun. */
  readonly serving: () => boolean;
  /** Until when the certificate in use is good; undefined: plaintext. */
  readonly certificateEnds: () => Date | undefined;
  /** Open connections of gRPC clients. */
  readonly connections: () => number;
}

/** `known` is filled as the parts are made; what is not there yet has no sample. */
export function registerFigures(make: Instruments, known: Partial<Figures>): void {
  const { reading } = make;
  reading('countersign_hash_running', 'Password hashes being computed.', 'sum', () => {
    return known.hashLane?.().running;
  });
  reading('countersign_hash_queued', 'Calls that wait for a password hash.', 'sum', () => {
    return known.hashLane?.().queued;
  });
  registerOutbox(make, known);
  registerPool(make, known);
  reading(
    'countersign_audit_waiting_events',
    'Access records not yet written to the database.',
    'sum',
    () => known.audit?.().waiting,
  );
  make.tally(
    'countersign_audit_dropped_events_total',
    'Access records lost because the database did not take them in time.',
    () => known.audit?.().dropped ?? 0,
  );
  reading(
    'countersign_ended_sessions_entries',
    'Ended sessions and revoked accounts that introspection remembers.',
    'max',
    () => known.endedSessions?.().size,
  );
  reading(
    'countersign_ended_sessions_stale_seconds',
    'Age of what introspection knows of ended sessions.',
    'max',
    () => seconds(known.endedSessions?.().staleForMs),
  );
  reading('countersign_grpc_connections', 'Open connections of gRPC clients.', 'sum', () => {
    return known.connections?.();
  });
  reading(
    'countersign_serving',
    '1 while calls are served: the database answers and no drain has begun; else 0.',
    'min',
    () => (known.serving === undefined ? undefined : Number(known.serving())),
  );
  reading(
    'countersign_tls_certificate_expiry_timestamp_seconds',
    'When the certificate in use expires, in seconds since 1970. Absent in plaintext.',
    'min',
    () => seconds(known.certificateEnds?.()?.getTime()),
  );
}

function registerOutbox({ reading }: Instruments, known: Partial<Figures>): void {
  reading(
    'countersign_outbox_queued_messages',
    'Messages that wait in the memory of this process.',
    'sum',
    () => known.outbox?.().queued,
  );
  reading(
    'countersign_outbox_queued_age_seconds',
    'How long the first of them has waited.',
    'max',
    () => seconds(known.outbox?.().oldest),
  );
}

function registerPool({ reading }: Instruments, known: Partial<Figures>): void {
  reading('countersign_db_pool_open_connections', 'Open database connections.', 'sum', () => {
    return known.pool?.().open;
  });
  reading(
    'countersign_db_pool_idle_connections',
    'Open database connections that nobody uses.',
    'sum',
    () => known.pool?.().idle,
  );
  reading(
    'countersign_db_pool_max_connections',
    'Database connections that may be open at once.',
    'sum',
    () => known.pool?.().max,
  );
  reading('countersign_db_pool_waiting', 'Statements that wait for a connection.', 'sum', () => {
    return known.pool?.().waiting;
  });
}

function seconds(ms: number | undefined): number | undefined {
  return ms === undefined ? undefined : ms / 1_000;
}
