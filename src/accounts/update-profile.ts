import { type RawBuilder, sql } from 'kysely';
import type { PersonCall } from '../core/call.js';
import { fieldInvalid } from '../core/errors.js';
import { uniqueViolation } from '../db/index.js';
import type { Account } from './account.js';
import { usernameTaken } from './errors.js';
import { carryOutUpdate, type PlannedUpdate, type UpdateAccountDeps } from './update-account.js';

export interface UpdateProfileInput {
  /** Of the etag; undefined: whatever stands is changed. */
  readonly revision: number | undefined;
  /** Canonical, as are all; undefined: it stays. */
  readonly displayName: string | undefined;
  readonly username: string | undefined;
}

/**
 * Changes display name and username. A username can be changed where the service made it up, and once: it is
 * chosen from then on.
 *
 * Trips, atomicity and reasons: `carryOutUpdate`; and `FIELD_INVALID` (the username was chosen),
 * `USERNAME_TAKEN` (the index decides, so of two who race one wins), each of which leaves all as it was.
 */
export async function updateProfile(
  deps: UpdateAccountDeps,
  call: PersonCall,
  input: UpdateProfileInput,
): Promise<Account> {
  try {
    return await carryOutUpdate(deps, call, input.revision, (account) => plan(account, input));
  } catch (error) {
    const ranInto = uniqueViolation(error);
    if (ranInto === 'identifiers_holder' || ranInto === 'identifiers_handle') throw usernameTaken();
    throw error;
  }
}

function plan(account: Account, input: UpdateProfileInput): PlannedUpdate | undefined {
  const renamed = otherThan(account.displayName, input.displayName);
  const username = account.identifiers.find(({ type }) => type === 'username');
  const chosen = otherThan(username?.value, input.username);
  if (chosen !== undefined && username?.generated !== true)
    throw fieldInvalid('profile.username', 'was chosen, and can not be changed any more');
  if (renamed === undefined && chosen === undefined) return undefined;
  return {
    account: {
      ...account,
      displayName: renamed ?? account.displayName,
      identifiers: account.identifiers.map((identifier) =>
        identifier === username && chosen !== undefined
          ? { ...identifier, value: chosen, generated: false }
          : identifier,
      ),
    },
    update: {
      steps: sql`${renamed === undefined ? sql`` : rename(renamed)}
        ${chosen === undefined ? sql`` : choose(chosen)}`,
      audit: {
        action: 'profile_updated',
        fields: [
          ...(renamed === undefined ? [] : ['display_name']),
          ...(chosen === undefined ? [] : ['username']),
        ],
      },
    },
  };
}

/** The value that is wanted, where it is not the one that stands. */
function otherThan(standing: string | undefined, wanted: string | undefined): string | undefined {
  return wanted === standing ? undefined : wanted;
}

function rename(displayName: string): RawBuilder<unknown> {
  return sql`renamed as (update profiles p set display_name = ${displayName}::text from gate g
    where p.account_id = g.account_id),`;
}

function choose(username: string): RawBuilder<unknown> {
  return sql`chosen as (update identifiers i set value = ${username}::text, proven_by = 'sign_up'
    from gate g where i.account_id = g.account_id and i.type = 'username'),`;
}
