import { z } from 'zod';
import type { Channel, Locale } from '../core/contact.js';

/**
 * What a message of each kind says. Addresses appear masked only: a notice may reach an old device. When
 * it happened is no variable: the message tells the time at which it was queued, with the change.
 */
export interface MessageVariables {
  readonly verification_code: {
    readonly purpose: CodePurpose;
    /** The code itself: 4–8 digits, or 20 (the long code). */
    readonly code: string;
    /** For how long it works when it is sent at once; a late retry states what is left. */
    readonly minutes: number;
  };
  // Notices: something has changed (rule 12).
  readonly contact_added: ContactVariables;
  readonly contact_changed: ContactVariables;
  readonly contact_removed: ContactVariables;
  readonly sign_in_enabled: IdentifierVariables;
  readonly sign_in_disabled: IdentifierVariables;
  readonly password_changed: NoVariables;
  readonly password_reset: NoVariables;
  readonly account_closed: NoVariables;
  // Notes: somebody asked for a code, and none is due.
  readonly sign_in_refused: NoVariables;
  readonly reset_refused: NoVariables;
  readonly confirmation_requested: NoVariables;
}

/** What a code is for, so that nobody reads out a code for another thing than they believe. */
export type CodePurpose = 'verify' | 'sign_in' | 'reset';

interface ContactVariables {
  readonly contactType: 'email' | 'phone';
  /** As `maskDestination` shows it. */
  readonly maskedAddress: string;
}

/** Of usernames an account has one, and some of them read like a host: it is not repeated. */
type IdentifierVariables = ContactVariables | { readonly contactType: 'username' };

type NoVariables = Readonly<Record<string, never>>;

export type MessageKind = keyof MessageVariables;

interface Envelope {
  readonly channel: Channel;
  /** Canonical email address, or E.164 phone number. */
  readonly to: string;
  readonly locale: Locale;
  /** For the log of failures only; the row's account is what `insertMessage` is given. */
  readonly accountId?: string | undefined;
  /** Counted from the insert; afterwards the message is never sent. At most 7 days. */
  readonly lifetimeSeconds: number;
}

/** A message that a person reads. */
export type OutgoingMessage = {
  readonly [Kind in MessageKind]: Envelope & {
    readonly kind: Kind;
    readonly variables: MessageVariables[Kind];
  };
}[MessageKind];

/** Of messages and of requests. */
export const routing = {
  channel: z.enum(['email', 'sms']),
  locale: z.enum(['en', 'vi']),
  lifetimeSeconds: z
    .number()
    .int()
    .positive()
    .max(7 * 24 * 3600),
};
const code = z.object({
  // Rows of the release before have none.
  purpose: z.enum(['verify', 'sign_in', 'reset']).default('verify'),
  code: z.string().regex(/^[0-9]{4,20}$/),
  minutes: z.number().int().positive(),
});
const contact = z.object({
  contactType: z.enum(['email', 'phone']),
  maskedAddress: z.string().min(1).max(320),
});
const identifier = z.union([contact, z.object({ contactType: z.literal('username') })]);
const nothing = z.strictObject({});

/** One schema for each kind, for the sealed payload of its row. */
export const messageSchemas = [
  schema('verification_code', code),
  schema('contact_added', contact),
  schema('contact_changed', contact),
  schema('contact_removed', contact),
  schema('sign_in_enabled', identifier),
  schema('sign_in_disabled', identifier),
  schema('password_changed', nothing),
  schema('password_reset', nothing),
  schema('account_closed', nothing),
  schema('sign_in_refused', nothing),
  schema('reset_refused', nothing),
  schema('confirmation_requested', nothing),
] as const;

function schema<Kind extends MessageKind, Variables extends z.ZodType>(
  kind: Kind,
  variables: Variables,
) {
  return z.object({
    ...routing,
    to: z.string().min(1).max(320),
    accountId: z.string().optional(),
    kind: z.literal(kind),
    variables,
  });
}
