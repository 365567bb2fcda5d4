import { type RawBuilder, sql } from 'kysely';
import type { Clock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import { keyRing } from '../../src/core/keys.js';
import { type Db, sqlNow } from '../../src/db/index.js';
import {
  createOutbox,
  type DeliveryLimits,
  type DeliveryObserver,
  type DeliveryRequest,
  insertMessage,
  type Outbox,
  type OutboxDeps,
  type OutgoingMessage,
  type Payload,
  type PreparedMessage,
  type ResolveRequest,
  type Transports,
} from '../../src/delivery/index.js';
import { silentLog } from '../support/databases.js';

export interface MovableClock extends Clock {
  offsetMs: number;
}

export function movableClock(): MovableClock {
  return {
    offsetMs: 0,
    now() {
      return new Date(Date.now() + this.offsetMs);
    },
  };
}

export const dataKeys = keyRing([Buffer.alloc(32, 7)]);

export const noRequests: ResolveRequest = () =>
  Promise.reject(new Error('no request was expected'));

export function outboxOn(
  db: Db,
  clock: Clock,
  transports: Transports,
  limits: Partial<DeliveryLimits> = {},
  rest: Partial<Pick<OutboxDeps, 'resolve' | 'observer' | 'log'>> = {},
): Outbox {
  return createOutbox({
    db,
    dataKeys,
    random: systemRandom,
    clock,
    transports,
    resolve: noRequests,
    log: silentLog,
    limits: { lingerMs: 1, retryMs: 10, ...limits },
    ...rest,
  });
}

export function codeMessage(
  fields: Partial<{ to: string; code: string; lifetimeSeconds: number }> = {},
): OutgoingMessage {
  const { to = '+84901234567', code = '493021', lifetimeSeconds = 300 } = fields;
  return {
    kind: 'verification_code',
    channel: to.includes('@') ? 'email' : 'sms',
    to,
    locale: 'en',
    variables: { purpose: 'verify', code, minutes: 5 },
    lifetimeSeconds,
  };
}

export function requestFor(fields: Partial<DeliveryRequest> = {}): DeliveryRequest {
  return {
    kind: 'sign_in_request',
    channel: 'sms',
    locale: 'en',
    lifetimeSeconds: 300,
    challengeId: '57d104c6-4d36-44fa-9f98-213348668d7a',
    caller: 'bff-of-the-tests',
    requestId: 'request-1',
    typed: { type: 'phone', value: '+84901234567' },
    ...fields,
  };
}

/** What an observer was told of single messages, in order. */
export function observed(): { observer: DeliveryObserver; seen: string[] } {
  const seen: string[] = [];
  const observer: DeliveryObserver = {
    sent: (channel) => void seen.push(`sent ${channel}`),
    failed: (channel) => void seen.push(`failed ${channel}`),
    dropped: (channel) => void seen.push(`dropped ${channel}`),
    expired: () => {},
    oldestUnsent: () => {},
  };
  return { observer, seen };
}

/** Inserts as a use-case does: in a `with` of a greater statement. */
export async function insert(
  db: Db,
  clock: Clock,
  message: PreparedMessage<Payload>,
  from: RawBuilder<unknown> = sql`(select 1) as one`,
): Promise<void> {
  await sql`with queued as (${insertMessage(sqlNow(clock), message, { accountId: sql`null`, locale: sql`${message.message.locale}::text`, from })})
    select 1`.execute(db);
}

export interface OutboxRow {
  readonly message_id: string;
  readonly state: string;
  readonly attempts: number;
  readonly payload_sealed: Buffer | null;
  readonly last_error: string | null;
  readonly due_in: number;
  readonly finished_at: Date | null;
}

/** The row of a message; `due_in` is in seconds from the test's now. */
export async function rowOf(db: Db, clock: Clock, id: string): Promise<OutboxRow> {
  const { rows } = await sql<OutboxRow>`
    select message_id, state, attempts, payload_sealed, last_error, finished_at,
      extract(epoch from due_at - ${sqlNow(clock)})::float8 as due_in
    from outbox where message_id = ${id}::uuid`.execute(db);
  const row = rows[0];
  if (row === undefined) throw new Error('no such message');
  return row;
}

/** The handle, and the statements that were sent through it. */
export function counted(db: Db): { db: Db; statements: string[] } {
  const statements: string[] = [];
  const observed = db.withPlugin({
    transformQuery: ({ node }) => {
      if (node.kind === 'RawNode') statements.push(String(Reflect.get(node, 'sqlFragments')));
      return node;
    },
    transformResult: async ({ result }) => result,
  });
  return { db: observed, statements };
}
