import { sql } from 'kysely';
import { addressSubject } from '../challenges/index.js';
import type { PersonCall } from '../core/call.js';
import { maskDestination } from '../core/contact.js';
import { statementNow } from '../db/index.js';
import type { Account } from './account.js';
import { type ChangeIdentifiersDeps, carryOut, type PlannedChange } from './change-identifiers.js';
import type { Identifier } from './identifier.js';
import { claimAddress } from './identifier-store.js';

export interface SetPhoneNumberDeps extends ChangeIdentifiersDeps {
  readonly budgetSecret: Buffer;
}

/**
 * Replaces the account's phone at once by a number that is only claimed (V4): what was held goes, verified or
 * not, and what was claimed. The code that waits is dead, unless it was sent to this very number. The number
 * that the account has already, and no other beside it, stays as it is, proven or not.
 *
 * Trips, atomicity and reasons: `carryOut`, of which this throws `ACCESS_TOKEN_INVALID`,
 * `REAUTHENTICATION_REQUIRED` and `LAST_SIGN_IN_METHOD`. Whether somebody else holds the number is told to
 * nobody but who proves it.
 */
export function setPhoneNumber(
  deps: SetPhoneNumberDeps,
  call: PersonCall,
  phone: string,
): Promise<Account> {
  return carryOut(deps, call, (account) => plan(deps, account, phone));
}

function plan(
  { budgetSecret }: SetPhoneNumberDeps,
  { accountId, identifiers }: Account,
  phone: string,
): PlannedChange | undefined {
  const held = identifiers.find(({ type, state }) => type === 'phone' && state !== 'claimed');
  const own = identifiers.find(({ type, value }) => type === 'phone' && value === phone);
  if (own !== undefined && (held === undefined || held === own)) return undefined;
  const claims = claimAddress(
    statementNow,
    { type: 'phone', value: phone },
    { from: sql`judged`, replaced: sql`replaced`, claimed: sql`claimed` },
  );
  return {
    change: {
      givesUp: sql<boolean>`i.type = 'phone' and i.value <> ${phone}::text`,
      steps: sql`
        replaced as (delete from identifiers i using judged j
          where i.account_id = j.account_id and i.type = 'phone' and i.value <> ${phone}::text
          returning i.account_id),
        claimed as (${claims.claimed}),
        fallen as (${claims.fallen}),`,
      kills: { channel: 'sms', spares: addressSubject(budgetSecret, 'sms', phone) },
      audit: { action: 'identifier_set', type: 'phone' },
    },
    identifiers: [...identifiers.filter(({ type }) => type !== 'phone'), claimOf(phone)],
    // A first number is told of when it is proven, as any claim is.
    notice: held && {
      kind: 'contact_changed',
      accountId,
      variables: { contactType: 'phone', maskedAddress: maskDestination('sms', phone) },
    },
  };
}

const claimOf = (phone: string): Identifier => ({
  type: 'phone',
  value: phone,
  state: 'claimed',
  verifiedAt: undefined,
  signInEnabled: false,
  generated: false,
});
