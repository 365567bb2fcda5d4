import { describe, expect, it } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';
import { keyRing } from '../../src/core/keys.js';
import { parsePageSize, readPageToken, writePageToken } from '../../src/core/page.js';

const [older, newer] = [systemRandom.bytes(32), systemRandom.bytes(32)];
const deps = { random: systemRandom, pageKeys: keyRing([older]) };
const PLACE = ['2026-11-21 12:00:00.123456+00', 'b7'];

describe('a page', () => {
  it('has as many entries as are asked for, within bounds', () => {
    const sizes = [undefined, 0, 1, 100, 101, 2 ** 31 - 1].map((size) => parsePageSize('f', size));
    expect(sizes).toEqual([50, 50, 1, 100, 100, 100]);
    expect(() => parsePageSize('page_size', -1)).toThrow(
      expect.objectContaining({ reason: 'FIELD_INVALID', metadata: { field: 'page_size' } }),
    );
  });
});

describe('a page token', () => {
  it('gives back the place that it was made for, also after a rotation of the keys', () => {
    const token = writePageToken(deps, 'list', PLACE);
    expect(readPageToken(deps, 'list', 'page_token', token)).toEqual(PLACE);
    const rotated = { pageKeys: keyRing([newer, older]) };
    expect(readPageToken(rotated, 'list', 'page_token', token)).toEqual(PLACE);
  });

  it('is good for its own list alone, and for nobody who made it up', () => {
    const token = writePageToken(deps, 'list', PLACE);
    const forged = writePageToken({ ...deps, pageKeys: keyRing([newer]) }, 'list', PLACE);
    const tries: [string, string][] = [
      ['other', token],
      ['list', forged],
      ['list', token.slice(0, -4)],
      ['list', ''],
      ['list', 'x'.repeat(2_000)],
    ];
    for (const [list, text] of tries) {
      expect(() => readPageToken(deps, list, 'page_token', text)).toThrow(
        expect.objectContaining({ reason: 'FIELD_INVALID', metadata: { field: 'page_token' } }),
      );
    }
  });
});
