import { isIP } from 'node:net';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { parseSourceAddress, sourceKey } from '../../src/throttling/index.js';

const groups = fc.array(fc.integer({ min: 0, max: 0xffff }), { minLength: 8, maxLength: 8 });
const hex = (values: readonly number[]) => values.map((value) => value.toString(16)).join(':');
const dotted = (bytes: readonly number[]) => bytes.join('.');
const bytes = fc.array(fc.integer({ min: 0, max: 255 }), { minLength: 4, maxLength: 4 });

describe('the address of a client (rule 21)', () => {
  it.each([
    ['203.0.113.9', '203.0.113.9', '203.0.113.9'],
    ['::ffff:203.0.113.9', '203.0.113.9', '203.0.113.9'],
    ['::FFFF:CB00:7109', '203.0.113.9', '203.0.113.9'],
    ['0:0:0:0:0:ffff:203.0.113.9', '203.0.113.9', '203.0.113.9'],
    ['2001:DB8:0:1:0:0:0:9', '2001:db8:0:1::9', '2001:db8:0:1::/64'],
    ['2001:db8::1', '2001:db8::1', '2001:db8::/64'],
    ['2001:db8:1:2:3:4:5:6', '2001:db8:1:2:3:4:5:6', '2001:db8:1:2::/64'],
    ['::1', '::1', '::/64'],
    ['::', '::', '::/64'],
    ['0:0:0:1::', '0:0:0:1::', '0:0:0:1::/64'],
    ['64:ff9b::203.0.113.9', '64:ff9b::cb00:7109', '64:ff9b::/64'],
  ])('reads %s as %s and counts it as %s', (raw, address, key) => {
    expect(parseSourceAddress(raw)).toBe(address);
    expect(sourceKey(address)).toBe(key);
  });

  it.each([
    '',
    ' 203.0.113.9',
    '203.0.113.9\n',
    '203.0.113.9:443',
    '203.0.113.09',
    '203.0.113',
    '203.0.113.256',
    '0xcb.0.113.9',
    '3405803785',
    '203.0.113.9, 198.51.100.1',
    '203.0.113.9/32',
    '[2001:db8::1]',
    '[2001:db8::1]:443',
    'fe80::1%eth0',
    'fe80::1%25eth0',
    '2001:db8::/64',
    '2001:db8:::1',
    '1:2:3:4:5:6:7:8:9',
    '12345::',
    'localhost',
    'example.com',
    '٢٠٣.0.113.9',
    '203.0.113.9\0',
    `${'0'.repeat(50)}::1`,
    '1'.repeat(100_000),
  ])('refuses %j', (raw) => {
    expect(parseSourceAddress(raw)).toBeUndefined();
  });

  it('refuses anything that is no address, and is idempotent on what it takes (property)', () => {
    const text = fc.oneof(
      fc.string({ maxLength: 60 }),
      fc.ipV4(),
      fc.ipV6(),
      fc.ipV4Extended(),
      fc.string({ unit: fc.constantFrom(...'0123456789abcdefF:.% '), maxLength: 45 }),
    );
    fc.assert(
      fc.property(text, (raw) => {
        const parsed = parseSourceAddress(raw);
        if (parsed === undefined) {
          expect(isIP(raw) === 0 || raw.includes('%') || raw.length > 45).toBe(true);
          return;
        }
        expect(isIP(raw)).not.toBe(0);
        expect(parseSourceAddress(parsed)).toBe(parsed);
      }),
      { numRuns: 2_000 },
    );
  });

  it('gives one key to all addresses of a /64 and different keys to different ones (property)', () => {
    fc.assert(
      fc.property(groups, groups, (one, other) => {
        const network = [0x2001, ...one.slice(1, 4)];
        const a = parseSourceAddress(hex([...network, ...one.slice(4)])) ?? '';
        const b = parseSourceAddress(hex([...network, ...other.slice(4)])) ?? '';
        expect(sourceKey(a)).toBe(sourceKey(b));
        const elsewhere = parseSourceAddress(hex([0x2002, ...one.slice(1)])) ?? '';
        expect(sourceKey(elsewhere)).not.toBe(sourceKey(a));
      }),
    );
  });

  it('counts an IPv4 client once, mapped into IPv6 or not (property)', () => {
    fc.assert(
      fc.property(bytes, (parts) => {
        const plain = dotted(parts);
        const [a = 0, b = 0, c = 0, d = 0] = parts;
        expect(parseSourceAddress(plain)).toBe(plain);
        expect(parseSourceAddress(`::ffff:${plain}`)).toBe(plain);
        expect(parseSourceAddress(`::ffff:${hex([a * 256 + b, c * 256 + d])}`)).toBe(plain);
      }),
    );
  });

  it('throws for what was not parsed', () => {
    expect(() => sourceKey('not an address')).toThrow('parsed address');
  });
});
