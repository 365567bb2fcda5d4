import { type RawBuilder, sql } from 'kysely';
import type { Call } from '../core/call.js';
import type { Random } from '../core/ids.js';

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

/** A change that a call has made, or what became of it. */
export function changeBy(
  random: Pick<Random, 'id'>,
  { caller, requestId }: Pick<Call, 'caller' | 'requestId'>,
  action: string,
  detail: ChangeEvent['detail'] = {},
): ChangeEvent {
  return { eventId: random.id(), action, caller, requestId, outcome: 'ok', detail };
}

export interface ChangeParts {
  readonly accountId: RawBuilder<string | null>;
  /** What follows `from`, a `where` included: one event for each row. At most one row. */
  readonly from: RawBuilder<unknown>;
  /** More of the detail, which the statement alone knows: a JSON object. */
  readonly found?: RawBuilder<unknown>;
}

/** The statement that records a change, to stand in a `with` of the statement that makes it. */
export function insertChange(
  now: RawBuilder<Date>,
  event: ChangeEvent,
  parts: ChangeParts,
): RawBuilder<unknown> {
  return insertChanges(now, [{ ...event, ...parts }]);
}

/** Several at once: opening the table costs more than a row does. */
export function insertChanges(
  now: RawBuilder<Date>,
  changes: readonly (ChangeEvent & ChangeParts)[],
): RawBuilder<unknown> {
  return sql`insert into audit_events (
      event_id, occurred_at, kind, action, account_id, caller, request_id, outcome, detail)
    ${sql.join(
      changes.map((change) => oneChange(now, change)),
      sql` union all `,
    )}`;
}

function oneChange(now: RawBuilder<Date>, change: ChangeEvent & ChangeParts): RawBuilder<unknown> {
  const { eventId, action, accountId, caller, requestId, outcome, detail = {}, found } = change;
  const more = found === undefined ? sql`` : sql` || ${found}`;
  return sql`select ${eventId}::uuid, ${now}, 'change', ${action}::text, (${accountId})::uuid,
      ${caller}::text, ${requestId}::text, ${outcome}::text, ${JSON.stringify(detail)}::jsonb${more}
    from ${change.from}`;
}
