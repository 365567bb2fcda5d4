import type { Locale } from '../core/contact.js';
import { fieldInvalid } from '../core/errors.js';
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

const ETAG = /^r([1-9][0-9]{0,14})$/;

/** Names one revision of an account. */
export function etagOf({ revision }: Pick<Account, 'revision'>): string {
  return `r${revision}`;
}

/** The revision that an etag names. Throws `FIELD_INVALID` for what no account ever had. */
export function parseEtag(field: string, etag: string): number {
  const [, revision] = ETAG.exec(etag) ?? [];
  if (revision === undefined) throw fieldInvalid(field, 'is not an etag of an account');
  return Number(revision);
}
