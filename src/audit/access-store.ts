import { sql } from 'kysely';
import type { Db } from '../db/index.js';

/** A row of an access event, its address sealed. */
export interface AccessRow {
  readonly eventId: string;
  readonly occurredAt: string;
  readonly method: string;
  readonly accountId: string | null;
  readonly caller: string;
  readonly requestId: string;
  readonly outcome: string;
  readonly durationMs: number;
  /** Hex; null where nothing may be kept. */
  readonly address: string | null;
}

/** The audit keys of accounts. One that is missing here has none: erased, or never there. */
export async function readAuditKeys(
  db: Db,
  accountIds: readonly string[],
): Promise<ReadonlyMap<string, Buffer>> {
  const { rows } = await sql<{ accountId: string; auditKey: Buffer }>`
    select account_id as "accountId", audit_key as "auditKey" from accounts
    where account_id = any(${accountIds}::uuid[]) and audit_key is not null`.execute(db);
  return new Map(rows.map(({ accountId, auditKey }) => [accountId, auditKey]));
}

/** All rows in one statement. Rows that an earlier, unanswered try has written stay as they are. */
export async function insertAccess(db: Db, rows: readonly AccessRow[]): Promise<void> {
  const json = JSON.stringify(rows);
  await sql`insert into audit_events (
      event_id, occurred_at, kind, action, account_id, caller, request_id, outcome, duration_ms,
      address_sealed)
    select e."eventId", e."occurredAt", 'access', e.method, e."accountId", e.caller, e."requestId",
      e.outcome, e."durationMs", decode(e.address, 'hex')
    from jsonb_to_recordset(${json}::jsonb) as e("eventId" uuid, "occurredAt" timestamptz,
      method text, "accountId" uuid, caller text, "requestId" text, outcome text,
      "durationMs" int, address text)
    on conflict do nothing`.execute(db);
}
