import { type RawBuilder, sql } from 'kysely';
import type { Call } from '../core/call.js';
import { type Channel, type Locale, maskDestination } from '../core/contact.js';
import {
  insertMessage,
  type MessageKind,
  type MessageVariables,
  type Outbox,
  type OutgoingMessage,
  type PreparedMessage,
} from '../delivery/index.js';
import type { Account } from './account.js';
import { channelOfType, isVerified, typeOfChannel } from './identifier.js';

/** Where an account can be told of changes, and in which language. */
export interface AccountContacts {
  readonly locale: Locale | null;
  readonly verified: readonly { readonly type: 'email' | 'phone'; readonly value: string }[];
}

/** The contacts of an account; `contact` serves its own account's notices too (V7). Null: no such account. */
export function contactsOf(accountId: RawBuilder<unknown>): RawBuilder<AccountContacts | null> {
  return sql<AccountContacts | null>`(select jsonb_build_object('locale', l.locale, 'verified', coalesce((
      select jsonb_agg(jsonb_build_object('type', i.type, 'value', i.value)) from identifiers i
      where i.account_id = ${accountId} and i.state in ('verified', 'contact') and i.type <> 'username'), '[]'))
    from account_settings l where l.account_id = ${accountId})`;
}

/** The same, of an account that was read. */
export function contactsIn({ locale, identifiers }: Account): AccountContacts {
  const verified = identifiers
    .filter(isVerified)
    .flatMap(({ type, value }) => (type === 'username' ? [] : [{ type, value }]));
  return { locale: locale ?? null, verified };
}

/** What an account is told of after the fact (rule 12). */
export type NoticeKind =
  | 'contact_added'
  | 'contact_changed'
  | 'contact_removed'
  | 'sign_in_enabled'
  | 'sign_in_disabled'
  | 'password_changed'
  | 'password_reset'
  | 'account_closed';

export interface Notice<Kind extends NoticeKind = NoticeKind> {
  readonly kind: Kind;
  readonly accountId: string;
  readonly variables: MessageVariables[Kind];
}

/** A notice on its way to each of its readers. */
export interface Notices {
  readonly kind: NoticeKind;
  readonly accountId: string;
  readonly messages: readonly PreparedMessage[];
}

/** Queued messages may wait for a provider this long; the change stays worth telling. */
export const NOTICE_LIFETIME_SECONDS = 24 * 3600;

/** A notice to each of the contacts, as they were before the change: the replaced one is among them. */
export function draftNotices<Kind extends NoticeKind>(
  deps: { readonly outbox: Outbox },
  call: Pick<Call, 'locale'>,
  contacts: AccountContacts,
  notice: Notice<Kind>,
): Notices {
  const messages = contacts.verified.map((contact) =>
    deps.outbox.prepare({
      kind: notice.kind,
      channel: channelOfType(contact.type),
      to: contact.value,
      locale: contacts.locale ?? call.locale,
      variables: notice.variables,
      accountId: notice.accountId,
      lifetimeSeconds: NOTICE_LIFETIME_SECONDS,
    } as OutgoingMessage),
  );
  return { kind: notice.kind, accountId: notice.accountId, messages };
}

/**
 * The notices of a proof: to every channel that was verified before it, minus the address just proven.
 * Proving again what is verified changes nothing and tells nobody.
 */
export function draftProofNotices(
  deps: { readonly outbox: Outbox },
  call: Pick<Call, 'locale'>,
  contacts: AccountContacts,
  proven: { accountId: string; channel: Channel; destination: string },
): Notices {
  const type = typeOfChannel(proven.channel);
  const before = contacts.verified.find((contact) => contact.type === type);
  const changed = before?.value !== proven.destination;
  return draftNotices(deps, call, changed ? contacts : { ...contacts, verified: [] }, {
    kind: before === undefined ? 'contact_added' : 'contact_changed',
    accountId: proven.accountId,
    variables: {
      contactType: type,
      maskedAddress: maskDestination(proven.channel, proven.destination),
    },
  });
}

/** CTE body: marks what is told, a row (`account_id`) if `from` has one and was not told of this kind within the hour. */
export function onceAnHour(
  now: RawBuilder<Date>,
  kind: MessageKind,
  from: RawBuilder<unknown>,
): RawBuilder<unknown> {
  return sql`
      insert into notices as n (account_id, kind, sent_at)
      select f.account_id, ${kind}::text, ${now} from ${from} f
      on conflict (account_id, kind) do update set sent_at = excluded.sent_at
      where n.sent_at <= excluded.sent_at - interval '1 hour'
      returning n.account_id`;
}

/**
 * CTEs, each with its trailing comma: the notices are queued if `from` has a row and no notice of this kind went
 * to the account within the last hour. None where there is nobody to tell.
 */
export function insertNotices(
  now: RawBuilder<Date>,
  notices: Notices | undefined,
  from: RawBuilder<unknown>,
): RawBuilder<unknown> {
  if (!isTold(notices)) return sql``;
  const noticed = sql`noticed as (${onceAnHour(now, notices.kind, from)}),`;
  const messages = notices.messages.map(
    (message, index) =>
      sql`${sql.raw(`notice_${index}`)} as (${insertMessage(now, message, {
        accountId: sql`noticed.account_id`,
        locale: sql`${message.message.locale}::text`,
        from: sql`noticed`,
      })}),`,
  );
  return sql.join([noticed, ...messages], sql` `);
}

/** In a statement with `insertNotices`: whether it has queued them. */
export function areNoticed(notices: Notices | undefined): RawBuilder<boolean> {
  return isTold(notices) ? sql<boolean>`exists (select from noticed)` : sql<boolean>`false`;
}

const isTold = (notices: Notices | undefined): notices is Notices =>
  notices !== undefined && notices.messages.length > 0;
