import { type RawBuilder, sql } from 'kysely';
import type { Call } from '../core/call.js';
import { type Channel, type Locale, maskDestination } from '../core/contact.js';
import { insertMessage, type Outbox, type PreparedMessage } from '../delivery/index.js';
import { channelOfType, typeOfChannel } from './identifier.js';

/** Where an account can be told of changes, and in which language. */
export interface AccountContacts {
  readonly locale: Locale | null;
  readonly verified: readonly { readonly type: 'email' | 'phone'; readonly value: string }[];
}

/** The contacts of a challenge `c`'s account; `contact` serves its own account's notices too (V7). */
export function contactsOf(): RawBuilder<AccountContacts> {
  return sql<AccountContacts>`(select jsonb_build_object('locale', l.locale, 'verified', coalesce((
      select jsonb_agg(jsonb_build_object('type', i.type, 'value', i.value)) from identifiers i
      where i.account_id = c.account_id and i.state in ('verified', 'contact') and i.type <> 'username'), '[]'))
    from account_settings l where l.account_id = c.account_id)`;
}

export interface Notices {
  readonly kind: 'contact_added' | 'contact_changed';
  readonly accountId: string;
  readonly messages: readonly PreparedMessage[];
}

/** Queued messages may wait for a provider this long; the change stays worth telling. */
const NOTICE_LIFETIME_SECONDS = 24 * 3600;

/**
 * The notices of a proof (rule 12): to every channel that was verified before it, minus the address
 * just proven. Proving again what is verified changes nothing and tells nobody.
 */
export function draftNotices(
  deps: { readonly outbox: Outbox },
  call: Call,
  contacts: AccountContacts,
  proven: { accountId: string; channel: Channel; destination: string },
): Notices {
  const type = typeOfChannel(proven.channel);
  const before = contacts.verified.find((contact) => contact.type === type);
  const kind = before === undefined ? 'contact_added' : 'contact_changed';
  const recipients = before?.value === proven.destination ? [] : contacts.verified;
  const messages = recipients.map((contact) =>
    deps.outbox.prepare({
      kind,
      channel: channelOfType(contact.type),
      to: contact.value,
      locale: contacts.locale ?? call.locale,
      variables: {
        contactType: type,
        maskedAddress: maskDestination(proven.channel, proven.destination),
      },
      accountId: proven.accountId,
      lifetimeSeconds: NOTICE_LIFETIME_SECONDS,
    }),
  );
  return { kind, accountId: proven.accountId, messages };
}

/**
 * CTEs `noticed` and one per message, each with its trailing comma: queued if `from` has a row and no
 * notice of this kind went to the account within the last hour.
 */
export function insertNotices(
  now: RawBuilder<Date>,
  notices: Notices,
  from: RawBuilder<unknown>,
): RawBuilder<unknown> {
  const noticed = sql`noticed as (
      insert into notices as n (account_id, kind, sent_at)
      select f.account_id, ${notices.kind}::text, ${now} from ${from} f
      on conflict (account_id, kind) do update set sent_at = excluded.sent_at
      where n.sent_at <= excluded.sent_at - interval '1 hour'
      returning n.account_id),`;
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
