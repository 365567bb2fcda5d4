import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { rpcsOf } from '../../src/composition/servers.js';
import { limitVariable } from '../../src/config/settings/limits.js';
import { formatDuration } from '../../src/config/values.js';
import {
  authServicePolicies,
  type CallLimiter,
  type RpcPolicy,
} from '../../src/grpc/rpc-policies.js';
import { RECHECK_MS } from '../../src/throttling/block-cache.js';
import { type LimiterName, limiterNames, resolveLimits } from '../../src/throttling/index.js';
import { KNOWN_SECONDS, MAX_KNOWN_PER_ADDRESS } from '../../src/throttling/known-sources.js';
import { MAX_WAITING } from '../../src/throttling/redis-shares.js';
import { INSURANCE_QUIET_MS } from '../../src/throttling/redis-throttle.js';
import { MAX_TRACKED_KEYS } from '../../src/throttling/window-counters.js';

const read = (name: string) => readFile(new URL(`../../docs/${name}.md`, import.meta.url), 'utf8');
const [page, configuration] = await Promise.all([read('throttling'), read('configuration')]);
const limits = resolveLimits();

/** The cells of every row of a page that begins like this. */
function rows(text: string, beginning: string): string[][] {
  const found = text.split('\n').filter((line) => line.startsWith(`| \`${beginning}`));
  return found.map((line) => line.slice(2, -2).split(' | '));
}

const whatIsSeen = {
  refuse: '`RATE_LIMITED`',
  'hold back': 'a challenge, no message, `retry-after`',
};

/** Where a limiter is counted, by the policies of the RPCs that charge it. */
function storeOf(name: LimiterName): string {
  const policies: readonly RpcPolicy[] = Object.values(authServicePolicies);
  const charging = policies.filter(({ limiters }) => limiters.includes(name as CallLimiter));
  const counted = new Set(charging.map((policy) => policy.counted));
  return counted.has('local') ? 'shared and process' : 'shared';
}

it('lists every soft limiter in docs/throttling.md as the catalogue has it, and no other', () => {
  const expected = limiterNames.map((name) => {
    const limit = limits[name];
    return [
      `\`${name}\``,
      `\`${limitVariable(name)}\``,
      limit.keyedBy,
      String(limit.windowSeconds),
      String(limit.points),
      limit.counts,
      storeOf(name),
      whatIsSeen[limit.whenExhausted],
      String(limit.insurancePoints),
    ];
  });
  expect(rows(page, '')).toEqual(expected);
});

it('has a setting in docs/configuration.md for every soft limiter, and for no other', () => {
  const documented = rows(configuration, 'LIMIT_').map((cells) => cells.slice(0, 2));
  const expected = limiterNames.map((name) => {
    const { points, windowSeconds } = limits[name];
    const size = `\`${points}/${formatDuration(windowSeconds)}\``;
    return [`\`${limitVariable(name)}\``, size];
  });
  expect(documented).toEqual(expected);
});

it('charges limiters of its own only where an RPC is counted in the shared store', () => {
  const rpcs = rpcsOf({ recovery: { delivery: 'typed' } } as never);
  const charging = Object.entries(rpcs).filter(([, rpc]) => 'charges' in rpc || 'sends' in rpc);
  expect(charging.map(([name]) => name).sort()).toEqual([
    'requestPasswordReset',
    'requestPhoneSignIn',
    'resendEmailConfirmation',
    'sendEmailVerificationCode',
    'sendPhoneVerificationCode',
    'signIn',
    'signUp',
  ]);
  for (const [name] of charging) {
    expect(authServicePolicies[name as keyof typeof authServicePolicies].counted).toBe('shared');
  }
});

it('gives a share for known sources the key and the kind of the one that it stands for', () => {
  const shared = limiterNames.filter((name) => limits[name].knownShare !== undefined);
  expect(shared).toEqual(['sendsPerAddressShort', 'sendsPerAddressLong']);
  for (const name of shared) {
    const { knownShare, keyedBy, counts } = limits[name];
    expect(limits[knownShare ?? name]).toMatchObject({ keyedBy, counts });
    expect(knownShare).not.toBe(name);
  }
});

it('names the bounds that the code has', () => {
  for (const bound of [
    `${MAX_TRACKED_KEYS.toLocaleString('en')} keys`,
    `${MAX_TRACKED_KEYS.toLocaleString('en')} addresses`,
    `after ${RECHECK_MS / 1_000} seconds`,
    `for ${INSURANCE_QUIET_MS / 1_000} seconds`,
    `newest ${MAX_KNOWN_PER_ADDRESS} sources`,
    `Up to ${MAX_WAITING.toLocaleString('en')} wait`,
  ]) {
    expect(page).toContain(bound);
  }
  expect(page).toMatch(new RegExp(`within\\s+${KNOWN_SECONDS / 86_400} days`));
});
