import { createHash } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { decodeKey, parseKeys } from '../../src/config/key-values.js';
import { formatDuration, parseAddress, parseDuration } from '../../src/config/values.js';

const UNITS = { s: 1, m: 60, h: 3_600, d: 86_400 } as const;

describe('durations', () => {
  it('are a whole number and a unit', () => {
    fc.assert(
      fc.property(fc.nat(), fc.constantFrom('s', 'm', 'h', 'd'), (count, unit) => {
        expect(parseDuration(`${count}${unit}`)).toEqual({ value: count * UNITS[unit] });
      }),
    );
  });

  it('are written so that they read back the same', () => {
    fc.assert(
      fc.property(fc.nat(), (seconds) => {
        expect(parseDuration(formatDuration(seconds))).toEqual({ value: seconds });
      }),
    );
    expect([60, 86_400, 90, 5_400].map(formatDuration)).toEqual(['1m', '1d', '90s', '90m']);
  });
});

describe('addresses', () => {
  it('are a host and a port', () => {
    expect(parseAddress('id.example.com:0')).toEqual({
      value: { host: 'id.example.com', port: 0 },
    });
    expect(parseAddress('[::1]:65535')).toEqual({ value: { host: '::1', port: 65_535 } });
  });

  it.each([
    '50051',
    ':50051',
    '::1:50051',
    '[127.0.0.1]:1',
    '[::g]:1',
    '256.0.0.1:1',
    '1.2.3:1',
    'a b:1',
    'host:65536',
    'host:-1',
    'host:',
    '[::1]',
    'http://host:1',
  ])('are not %s', (text) => {
    expect(parseAddress(text)).toHaveProperty('wrong');
  });
});

describe('keys', () => {
  const key = (seed: string): Buffer => createHash('sha256').update(seed).digest();

  it('are exactly 32 bytes, in hex or any usual base64, whatever the bytes', () => {
    fc.assert(
      fc.property(fc.uint8Array({ minLength: 32, maxLength: 32 }), (bytes) => {
        const made = Buffer.from(bytes);
        for (const encoding of ['hex', 'base64', 'base64url'] as const) {
          expect(decodeKey(made.toString(encoding))).toEqual(made);
        }
        expect(decodeKey(made.toString('hex').toUpperCase())).toEqual(made);
      }),
    );
  });

  it('of another size are refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 70 }), (bytes) => {
        // 48 bytes of base64 can look like 32 of hex; nobody draws those by chance.
        fc.pre(bytes.length !== 32 && bytes.length !== 48);
        expect(decodeKey(Buffer.from(bytes).toString('hex'))).toBeUndefined();
        expect(decodeKey(Buffer.from(bytes).toString('base64'))).toBeUndefined();
      }),
    );
  });

  it('keep their order, current first', () => {
    const list = [key('new'), key('old')];
    const text = `${key('new').toString('base64')}, ${key('old').toString('hex')}`;
    expect(parseKeys(text)).toEqual({ value: list });
  });

  it('are refused twice, as a placeholder, with rubbish among them, and by the dozen', () => {
    const one = key('one').toString('base64');
    const many = Array.from({ length: 17 }, (_, index) => key(String(index)).toString('hex'));
    const refused = [
      `${one},${key('one').toString('hex')}`,
      '0'.repeat(64),
      `${one},${'ab'.repeat(32)}`,
      `${one},`,
      `${one}!`,
      `${one} ${one}`,
      many.join(','),
    ];
    for (const text of refused) expect(parseKeys(text), text).toHaveProperty('wrong');
  });
});
