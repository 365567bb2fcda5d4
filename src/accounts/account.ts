import type { Locale } from '../core/contact.js';
import type { Identifier } from './identifier.js';

export type AccountStatus = 'active' | 'blocked' | 'deactivated' | 'closed';

export interface Account {
  readonly accountId: string;
  readonly status: AccountStatus;
  readonly displayName: string;
  /** Absent: the request's language decides. */
  readonly locale: Locale | undefined;
  readonly identifiers: readonly Identifier[];
  readonly createdAt: Date;
  readonly updatedAt: Date;
  /** Counts changes of the account, its profile, settings and identifiers. */
  readonly revision: number;
}
