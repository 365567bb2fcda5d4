/** The product's charges, in one write of a bare client: its scripts, on keys like its own. */
import { randomBytes } from 'node:crypto';
import type { FloorContext } from './floor.js';

/** Of a key or an argument: as it is, a hash that is another one for each call, or the time in ms. */
export type Part =
  | string
  | { readonly hash: number; readonly length: number }
  | { readonly now: true };

export interface ChargesTemplate {
  /** Scripts by their hash: hash, number of keys, keys, arguments. */
  readonly commands: readonly (readonly {
    readonly isKey: boolean;
    readonly parts: readonly Part[];
  }[])[];
}

export function charging(
  { redis, redisPrefix }: Pick<FloorContext, 'redis' | 'redisPrefix'>,
  { commands }: ChargesTemplate,
): () => Promise<void> {
  return async () => {
    const hashes: string[] = [];
    const made = (part: Part): string => {
      if (typeof part === 'string') return part;
      if ('now' in part) return String(Date.now());
      // Base64url has four characters for three bytes.
      hashes[part.hash] ??= randomBytes(Math.ceil((part.length * 3) / 4))
        .toString('base64url')
        .slice(0, part.length);
      return hashes[part.hash] ?? '';
    };
    const sent = commands.map((elements) => [
      'evalsha',
      ...elements.map(({ isKey, parts }) => (isKey ? redisPrefix : '') + parts.map(made).join('')),
    ]);
    for (const [error] of (await redis.pipeline(sent).exec()) ?? []) if (error) throw error;
  };
}
