import { sql } from 'kysely';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import type { CallOptions } from '../../src/client/index.js';
import type { RenderedMessage } from '../../src/delivery/index.js';
import { PASSWORD, type Signup, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { type ChannelCase, codeFor, email, sms } from './house.js';

/** Somebody with a password, and an email and a phone that are proven and sign in. */
export interface Member extends Signup {
  readonly email: string;
  readonly phone: string;
}

export async function member(
  app: TestApp,
  fields: Parameters<typeof signUp>[1] = {},
): Promise<Member> {
  const [mail, phone] = [unique.email(), unique.phone()];
  const person = await signUp(app, { ...fields, email: mail, phoneNumber: phone });
  await email.confirm(app, { code: await codeFor(app, mail) }, person);
  await sms.confirm(app, { code: await codeFor(app, phone) }, person);
  return { ...person, email: mail, phone };
}

export const addressOf = (person: Member, on: ChannelCase) =>
  on === email ? person.email : person.phone;

/** Signs in anew, for what asks for a recent authentication. */
export async function signedInAgain(app: TestApp, identifier: string): Promise<CallOptions> {
  const { tokens } = await app.auth.signIn({ identifier, password: PASSWORD });
  return { accessToken: tokens?.accessToken };
}

/** Sends a code to an address for a signed-in person and proves it. */
export async function prove(app: TestApp, on: ChannelCase, session: CallOptions, address: string) {
  await on.send(app, session, address);
  return on.confirm(app, { code: await codeFor(app, address) }, session);
}

/** The RPC that takes an address of this channel off the account. */
export const remove = (app: Pick<TestApp, 'auth'>, on: ChannelCase, options: CallOptions) =>
  on === email ? app.auth.removeEmail({}, options) : app.auth.removePhoneNumber({}, options);

/** Each RPC that changes the ways into an account without a proof, as it changes a `member`. */
export const changes = [
  {
    rpc: 'SetPhoneNumber',
    action: 'identifier_set',
    type: 'phone',
    call: (app: TestApp, options: CallOptions) =>
      app.auth.setPhoneNumber({ phoneNumber: '+84912000001' }, options),
  },
  {
    rpc: 'RemovePhoneNumber',
    action: 'identifier_removed',
    type: 'phone',
    call: (app: TestApp, options: CallOptions) => app.auth.removePhoneNumber({}, options),
  },
  {
    rpc: 'RemoveEmail',
    action: 'identifier_removed',
    type: 'email',
    call: (app: TestApp, options: CallOptions) => app.auth.removeEmail({}, options),
  },
  {
    rpc: 'SetSignInEnabled',
    action: 'sign_in_disabled',
    type: 'email',
    call: (app: TestApp, options: CallOptions) =>
      app.auth.setSignInEnabled({ type: IdentifierType.EMAIL, enabled: false }, options),
  },
] as const;

/** The change events of an account, in their order. */
export async function changeEvents({ db }: TestApp, accountId: string) {
  const { rows } = await sql<{ action: string; detail: Readonly<Record<string, unknown>> }>`
    select action, detail from audit_events where account_id = ${accountId}::uuid and kind = 'change'
    order by occurred_at, event_id`.execute(db);
  return rows;
}

/** Every identifier of an account, as the table has it. */
export async function identifiersOf({ db }: TestApp, accountId: string) {
  const { rows } = await sql<{
    type: string;
    value: string;
    state: string;
    sign_in_enabled: boolean;
    kept_demoted: boolean;
  }>`select type, value, state, sign_in_enabled, kept_demoted from identifiers
    where account_id = ${accountId}::uuid order by type, state, value`.execute(db);
  return rows;
}

/** The account that an identifier and the usual password sign in to. */
export function signsInTo(app: TestApp, identifier: string): Promise<string | undefined> {
  return app.auth.signIn({ identifier, password: PASSWORD }).then(
    ({ accountId }) => accountId,
    () => undefined,
  );
}

/** What came to an address beside codes. */
export function noticesTo({ mailbox }: TestApp, to: string): readonly RenderedMessage[] {
  return mailbox.messages.filter(
    (message) => message.to === to && !/(?<![0-9])([0-9]{6}|[0-9]{20})(?![0-9])/.test(message.text),
  );
}
