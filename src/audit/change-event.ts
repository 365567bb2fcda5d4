import { type RawBuilder, sql } from 'kysely';

/** Something that changed, written by the statement that changes it. */
export interface ChangeEvent {
  /** UUID v7. */
  readonly eventId: string;
  /** `phone_verified`: object and past participle. */
  readonly action: string;
  readonly caller: string;
  readonly requestId: string;
  readonly outcome: string;
  /** Never a secret or an address (rule 22): ids, types, counts, reasons. */
  readonly detail?: Readonly<Record<string, unknown>>;
}

export interface ChangeParts {
  readonly accountId: RawBuilder<string | null>;
  /** What follows `from`, a `where` included: one event for each row. At most one row. */
  readonly from: RawBuilder<unknown>;
}

/** The statement that records a change, to stand in a `with` of the statement that makes it. */
export function insertChange(
  now: RawBuilder<Date>,
  event: ChangeEvent,
  { accountId, from }: ChangeParts,
): RawBuilder<unknown> {
  const { eventId, action, caller, requestId, outcome, detail = {} } = event;
  return sql`insert into audit_events (
      event_id, occurred_at, kind, action, account_id, caller, request_id, outcome, detail)
    select ${eventId}::uuid, ${now}, 'change', ${action}::text, (${accountId})::uuid,
      ${caller}::text, ${requestId}::text, ${outcome}::text, ${JSON.stringify(detail)}::jsonb
    from ${from}`;
}
