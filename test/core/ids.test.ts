import { expect, it } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';

it('makes ids that differ and stand in order, those of one millisecond too', () => {
  const ids = Array.from({ length: 20_000 }, () => systemRandom.id());
  expect(new Set(ids).size).toBe(ids.length);
  expect([...ids].sort()).toEqual(ids);
  for (const id of ids.slice(0, 100)) {
    expect(id).toMatch(/^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/);
  }
});

it('makes nonces of any size, none of them twice', () => {
  const nonces = Array.from({ length: 10_000 }, () => systemRandom.nonce(12).toString('hex'));
  expect(new Set(nonces).size).toBe(nonces.length);
  expect([0, 1, 2_048, 5_000].map((size) => systemRandom.nonce(size).length)).toEqual([
    0, 1, 2_048, 5_000,
  ]);
});
