import type { Db } from '../db/index.js';
import { type AccessRow, readAuditKeys } from './access-store.js';
import type { AddressSeal } from './address-seal.js';

/** One call, after it ended (T6). */
export interface AccessEvent {
  /** Name of the RPC. */
  readonly method: string;
  readonly accountId?: string | undefined;
  readonly caller: string;
  /** The client's address; sealed before it is stored. Empty: not known. */
  readonly source: string;
  readonly requestId: string;
  /** `OK`, or the reason. */
  readonly outcome: string;
  readonly durationMs: number;
}

export interface RecordedEvent {
  readonly event: AccessEvent;
  readonly eventId: string;
  readonly occurredAt: Date;
}

/** Rows with sealed addresses: at most one query, for the keys of all accounts of the batch. */
export async function toRows(
  db: Db,
  addresses: AddressSeal,
  batch: readonly RecordedEvent[],
): Promise<AccessRow[]> {
  const ids = new Set(batch.flatMap(({ event }) => accountIdOf(event.accountId) ?? []));
  const keys = ids.size === 0 ? new Map<string, Buffer>() : await readAuditKeys(db, [...ids]);
  return batch.map(({ event, eventId, occurredAt }) => ({
    eventId,
    occurredAt: occurredAt.toISOString(),
    method: plain(event.method),
    accountId: accountIdOf(event.accountId) ?? null,
    caller: plain(event.caller),
    requestId: plain(event.requestId),
    outcome: plain(event.outcome),
    durationMs: Math.max(0, Math.round(event.durationMs)),
    address: sealAddress(addresses, eventId, event, keys),
  }));
}

function sealAddress(
  addresses: AddressSeal,
  eventId: string,
  { accountId, source }: AccessEvent,
  keys: ReadonlyMap<string, Buffer>,
): string | null {
  if (source === '') return null;
  const id = accountIdOf(accountId);
  const key = id === undefined ? undefined : keys.get(id);
  // An erased account has no key any more, and its address must not be kept under another.
  if (id !== undefined && key === undefined) return null;
  return addresses.seal(eventId, source.slice(0, MAX_TEXT), key).toString('hex');
}

const MAX_TEXT = 200;
const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;

// One value that the database refuses would make the whole batch fail, again and again.

/** As the database spells it. */
function accountIdOf(text: string | undefined): string | undefined {
  const id = text?.toLowerCase();
  return id !== undefined && UUID.test(id) ? id : undefined;
}

/** Short printable ASCII, as these all are. */
function plain(text: string): string {
  return text.slice(0, MAX_TEXT).replace(/[^\x20-\x7e]/g, '?');
}
