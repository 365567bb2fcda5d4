import { type RawBuilder, sql } from 'kysely';
import type { Channel, Locale } from '../core/contact.js';
import type { Db } from '../db/index.js';
import {
  type DeliveryRequest,
  insertMessage,
  type OutgoingMessage,
  type PreparedMessage,
} from '../delivery/index.js';
import { onceAnHour } from './notices.js';

/** What an address is told where somebody asked for a code and none is due. */
export type NoteKind = 'sign_in_refused' | 'reset_refused' | 'confirmation_requested';

export interface Note {
  readonly kind: NoteKind;
  /** Which account it is told for: at most one of a kind within an hour. */
  readonly accountId: string;
  readonly channel: Channel;
  readonly to: string;
  readonly locale: Locale;
}

/**
 * The note that a resolved request comes to; undefined: the account was told within the hour. One
 * PostgreSQL trip.
 *
 * The hour counts from the request, to the microsecond, and not from the sending: so an attempt that
 * failed finds its own mark when it is made again, and the note is not lost.
 */
export async function dueNote(
  deps: { readonly db: Db },
  request: Pick<DeliveryRequest, 'challengeId' | 'lifetimeSeconds'>,
  note: Note,
): Promise<OutgoingMessage | undefined> {
  const { rows } = await sql`
    insert into notices as n (account_id, kind, sent_at)
    select ${note.accountId}::uuid, ${note.kind}::text, c.issued_at from challenges c
    where c.challenge_id = ${request.challengeId}::uuid
    on conflict (account_id, kind) do update set sent_at = excluded.sent_at
    where n.sent_at <= excluded.sent_at - interval '1 hour' or n.sent_at = excluded.sent_at
    returning n.account_id`.execute(deps.db);
  if (rows.length === 0) return undefined;
  return { ...note, variables: {}, lifetimeSeconds: request.lifetimeSeconds };
}

/**
 * The same, for a statement that has found out by itself that a note is due: CTEs `noted` and `note`, each with
 * its trailing comma. `from` gives `account_id` and `locale`, one row at most.
 */
export function insertNote(
  now: RawBuilder<Date>,
  note: PreparedMessage,
  from: RawBuilder<unknown>,
): RawBuilder<unknown> {
  return sql`noted as (${onceAnHour(now, note.message.kind, from)}),
    note as (${insertMessage(now, note, {
      accountId: sql`f.account_id`,
      locale: sql`f.locale`,
      from: sql`${from} f join noted n on n.account_id = f.account_id`,
    })}),`;
}
