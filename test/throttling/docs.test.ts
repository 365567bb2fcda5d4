import { readFile } from 'node:fs/promises';
import { expect, it } from 'vitest';
import { RECHECK_MS } from '../../src/throttling/block-cache.js';
import { limiterNames, resolveLimits } from '../../src/throttling/index.js';
import { MAX_TRACKED_KEYS } from '../../src/throttling/window-counters.js';

const page = await readFile(new URL('../../docs/throttling.md', import.meta.url), 'utf8');

it('lists every soft limiter in docs/throttling.md as the catalogue has it', () => {
  const documented = page
    .split('\n')
    .filter((line) => line.startsWith('| `'))
    .map((line) => line.slice(2, -2).split(' | '));
  const limits = resolveLimits();
  const expected = limiterNames.map((name) => {
    const limit = limits[name];
    return [
      `\`${name}\``,
      limit.keyedBy,
      String(limit.windowSeconds),
      String(limit.points),
      limit.counts,
      '`RATE_LIMITED`',
      String(limit.insurancePoints),
    ];
  });
  expect(documented).toEqual(expected);
});

it('names the bounds that the code has', () => {
  expect(page).toContain(`${MAX_TRACKED_KEYS.toLocaleString('en')} keys`);
  expect(page).toContain(`after ${RECHECK_MS / 1000} seconds`);
});
