import { sql } from 'kysely';
import type { PersonCall } from '../core/call.js';
import type { Locale } from '../core/contact.js';
import type { Account } from './account.js';
import { carryOutUpdate, type UpdateAccountDeps } from './update-account.js';

export interface UpdateSettingsInput {
  /** Of the etag; undefined: whatever stands is changed. */
  readonly revision: number | undefined;
  /** Null: the request's language is to decide; undefined: it stays. */
  readonly locale: Locale | null | undefined;
}

/** Changes the language of messages. Trips, atomicity and reasons: `carryOutUpdate`. */
export function updateSettings(
  deps: UpdateAccountDeps,
  call: PersonCall,
  { revision, locale }: UpdateSettingsInput,
): Promise<Account> {
  return carryOutUpdate(deps, call, revision, (account) => {
    if (locale === undefined || locale === (account.locale ?? null)) return undefined;
    return {
      account: { ...account, locale: locale ?? undefined },
      update: {
        steps: sql`set_up as (update account_settings l set locale = ${locale}::text from gate g
          where l.account_id = g.account_id),`,
        audit: { action: 'settings_updated', fields: ['locale'] },
      },
    };
  });
}
