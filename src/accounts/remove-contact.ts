import { sql } from 'kysely';
import type { PersonCall } from '../core/call.js';
import { maskDestination } from '../core/contact.js';
import type { Account } from './account.js';
import { type ChangeIdentifiersDeps, carryOut, type PlannedChange } from './change-identifiers.js';
import { channelOfType } from './identifier.js';

/**
 * Takes the email or the phone off the account: what is held and what is claimed (V3, V4). The code that waits
 * on the channel is dead. Nothing there: nothing happens.
 *
 * Trips, atomicity and reasons: `carryOut`, of which this throws `ACCESS_TOKEN_INVALID`,
 * `REAUTHENTICATION_REQUIRED` and `LAST_SIGN_IN_METHOD`.
 */
export function removeContact(
  deps: ChangeIdentifiersDeps,
  call: PersonCall,
  type: 'email' | 'phone',
): Promise<Account> {
  return carryOut(deps, call, (account) => plan(account, type));
}

function plan(
  { accountId, identifiers }: Account,
  type: 'email' | 'phone',
): PlannedChange | undefined {
  const removed = identifiers.filter((identifier) => identifier.type === type);
  if (removed.length === 0) return undefined;
  const held = removed.find(({ state }) => state !== 'claimed');
  const channel = channelOfType(type);
  return {
    change: {
      givesUp: sql<boolean>`i.type = ${type}::text`,
      steps: sql`
        removed as (delete from identifiers i using judged j
          where i.account_id = j.account_id and i.type = ${type}::text),`,
      kills: { channel },
      audit: { action: 'identifier_removed', type },
    },
    identifiers: identifiers.filter((identifier) => identifier.type !== type),
    // A claim was nobody's contact.
    notice: held && {
      kind: 'contact_removed',
      accountId,
      variables: { contactType: type, maskedAddress: maskDestination(channel, held.value) },
    },
  };
}
