import { type LimiterName, limiterNames, resolveLimits } from '../../throttling/index.js';
import { formatDuration } from '../values.js';
import type { Setting } from './setting.js';

type LimitSetting = Setting & { readonly kind: 'limit'; readonly default: string };

/** `sendsPerAddressShort` → `LIMIT_SENDS_PER_ADDRESS_SHORT`. */
export function limitVariable(name: LimiterName): string {
  return `LIMIT_${name.replaceAll(/[A-Z]/g, (letter) => `_${letter}`).toUpperCase()}`;
}

/** One setting per soft limiter of the catalogue: a new limiter is configurable by being there. */
export function limitSettings(): Readonly<Record<string, LimitSetting>> {
  const limits = resolveLimits();
  return Object.fromEntries(
    limiterNames.map((name) => {
      const { points, windowSeconds, keyedBy, followsCooldown } = limits[name];
      const counted = keyedBy === 'everyone' ? 'in all' : `per ${keyedBy}`;
      const window = followsCooldown ? ' Not set, its window is `RESEND_COOLDOWN`.' : '';
      const setting: LimitSetting = {
        kind: 'limit',
        default: `${points}/${formatDuration(windowSeconds)}`,
        since: '0.1.0',
        description: `\`${name}\`, counted ${counted}.${window}`,
      };
      return [limitVariable(name), setting];
    }),
  );
}
