import { fieldInvalid } from './errors.js';
import type { Random } from './ids.js';
import { type KeyRing, SEAL_NONCE_BYTES, seal, UnsealError, unseal } from './keys.js';

/** Lists come in pages (AIP-158), each of which begins where the one before it ended. */
const DEFAULT_PAGE_SIZE = 50;
const MAX_PAGE_SIZE = 100;

/** How many entries a page is to have: more than we give is no error, less than none is one. */
export function parsePageSize(field: string, size: number | undefined): number {
  if (size === undefined || size === 0) return DEFAULT_PAGE_SIZE;
  if (size < 0) throw fieldInvalid(field, 'must not be negative');
  return Math.min(size, MAX_PAGE_SIZE);
}

export interface PageDeps {
  readonly random: Random;
  readonly pageKeys: KeyRing;
}

/** Ours are shorter by far. */
const MAX_TOKEN_LENGTH = 1_024;

/**
 * A place in a list, for the client to come back with: the sort key of the last entry that it has. Sealed, so
 * that nobody builds on what is in it, and bound to `list`, which names the list and whose it is: there is
 * nothing to check about a token that opens.
 */
export function writePageToken(deps: PageDeps, list: string, place: readonly string[]): string {
  const nonce = deps.random.nonce(SEAL_NONCE_BYTES);
  const plain = Buffer.from(JSON.stringify(place), 'utf8');
  return seal(deps.pageKeys, nonce, contextOf(list), plain).toString('base64url');
}

/** The place that a token of this list stands for. Throws `FIELD_INVALID` for anything else. */
export function readPageToken(
  deps: Pick<PageDeps, 'pageKeys'>,
  list: string,
  field: string,
  token: string,
): readonly string[] {
  try {
    if (token.length > MAX_TOKEN_LENGTH) throw new UnsealError('longer than any of ours');
    const sealed = Buffer.from(token, 'base64url');
    const plain = unseal(deps.pageKeys, contextOf(list), sealed).toString('utf8');
    return JSON.parse(plain) as readonly string[];
  } catch (error) {
    if (!(error instanceof UnsealError)) throw error;
    throw fieldInvalid(field, 'is not a page token of this list');
  }
}

const contextOf = (list: string): string => `page:${list}`;
