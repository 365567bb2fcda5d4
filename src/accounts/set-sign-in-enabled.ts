import { sql } from 'kysely';
import type { PersonCall } from '../core/call.js';
import { type IdentifierType, maskDestination } from '../core/contact.js';
import { fieldInvalid } from '../core/errors.js';
import type { Account } from './account.js';
import { type ChangeIdentifiersDeps, carryOut, type PlannedChange } from './change-identifiers.js';
import { identifierNotVerified } from './errors.js';
import { channelOfType, type Identifier, isVerified, type ProofPolicy } from './identifier.js';
import { heldByAnother } from './identifier-store.js';
import type { Notice } from './notices.js';

export interface SetSignInEnabledDeps extends ChangeIdentifiersDeps {
  readonly proofPolicy: ProofPolicy;
}

export interface SetSignInEnabledInput {
  readonly type: IdentifierType;
  readonly enabled: boolean;
}

/**
 * Lets a proven identifier sign in, or no longer, by hand (V7). One that was switched off here is kept so: no
 * proof switches it on again. A contact whose address nobody holds any more becomes the holder when it is
 * switched on: it was proven once, and the unique index lets one account have it.
 *
 * Trips, atomicity and reasons: `carryOut`; also `FIELD_INVALID` (`type`: the deployment does not sign in by
 * it) and `IDENTIFIER_NOT_VERIFIED` (the account has none, or it is claimed, lapsed or disputed).
 */
export async function setSignInEnabled(
  deps: SetSignInEnabledDeps,
  call: PersonCall,
  input: SetSignInEnabledInput,
): Promise<Identifier> {
  const { type, enabled } = input;
  const promotes = type === 'username' || deps.proofPolicy.promote[channelOfType(type)] !== 'off';
  if (enabled && !promotes) throw fieldInvalid('type', 'cannot be signed in by here');
  const account = await carryOut(deps, call, (found) => plan(found, input));
  return provenOf(account, type);
}

function provenOf({ identifiers }: Account, type: IdentifierType): Identifier {
  const proven = identifiers.find(
    (identifier) => identifier.type === type && isVerified(identifier),
  );
  if (proven === undefined) throw identifierNotVerified();
  return proven;
}

function plan(
  account: Account,
  { type, enabled }: SetSignInEnabledInput,
): PlannedChange | undefined {
  const proven = provenOf(account, type);
  if (proven.signInEnabled === enabled) return undefined;
  const switched: Identifier = { ...proven, state: 'verified', signInEnabled: enabled };
  const action = enabled ? 'sign_in_enabled' : 'sign_in_disabled';
  const which = sql<boolean>`i.type = ${type}::text and i.value = ${proven.value}::text`;
  return {
    change: {
      givesUp: enabled ? sql<boolean>`false` : which,
      isTaken: heldByAnother({ type, value: proven.value }, sql`g.account_id`),
      steps: sql`
        switched as (update identifiers i
          set sign_in_enabled = ${enabled}::boolean, kept_demoted = ${!enabled}::boolean, state = 'verified'
          from judged j where i.account_id = j.account_id and ${which}),`,
      audit: { action, type },
    },
    identifiers: account.identifiers.map((identifier) =>
      identifier === proven ? switched : identifier,
    ),
    notice: noticeOf(account.accountId, action, proven),
  };
}

function noticeOf(
  accountId: string,
  kind: 'sign_in_enabled' | 'sign_in_disabled',
  { type, value }: Identifier,
): Notice {
  if (type === 'username') return { kind, accountId, variables: { contactType: type } };
  const maskedAddress = maskDestination(channelOfType(type), value);
  return { kind, accountId, variables: { contactType: type, maskedAddress } };
}
