import { hash } from 'node:crypto';
import type { SigningKey } from './signing-key.js';

/** What stays true of a token for ever: which key signed it, and what it says. */
export interface VerifiedToken<Claims> {
  readonly key: SigningKey;
  readonly claims: Claims;
}

export interface VerifiedTokens<Claims> {
  find(digest: string): VerifiedToken<Claims> | undefined;
  /** For tokens that were good in every respect: nobody else's text takes up room. */
  add(digest: string, token: VerifiedToken<Claims>): void;
}

/**
 * At most so many tokens are remembered, and always the latest half as many. One takes 1 KiB: 4 MiB for
 * all of them, and 20 if each had as many grants as a token can.
 */
export const MAX_VERIFIED_TOKENS = 4_096;

/** SHA-256 of the whole text: not one letter of another token has the same one, and none is kept. */
export function digestOf(token: string): string {
  return hash('sha256', token, 'base64');
}

/**
 * Tokens whose signature was found good, so that one that is shown with every request of its life is
 * verified once (decision 0021). In two generations: when the younger one is full the older one is
 * forgotten, and what is asked for meanwhile moves up.
 */
export function createVerifiedTokens<Claims>(): VerifiedTokens<Claims> {
  let younger = new Map<string, VerifiedToken<Claims>>();
  let older: ReadonlyMap<string, VerifiedToken<Claims>> = new Map();
  const add = (digest: string, token: VerifiedToken<Claims>): void => {
    if (younger.size >= MAX_VERIFIED_TOKENS / 2) {
      older = younger;
      younger = new Map();
    }
    younger.set(digest, token);
  };
  return {
    find(digest) {
      const young = younger.get(digest);
      if (young !== undefined) return young;
      const old = older.get(digest);
      if (old !== undefined) add(digest, old);
      return old;
    },
    add,
  };
}
