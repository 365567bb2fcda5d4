import { randomBytes } from 'node:crypto';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  type CodeBinding,
  type CodePolicy,
  codeMatches,
  type DrawnCode,
  drawCode,
  LONG_CODE_LENGTH,
  parseCode,
} from '../../src/challenges/index.js';
import { systemRandom } from '../../src/core/ids.js';
import { keyRing, mac, sha256 } from '../../src/core/keys.js';

const key = randomBytes(32);
const ring = keyRing([key]);
const binding: CodeBinding = {
  purpose: 'verify',
  subject: '0193a3c2-7a50-7000-8000-000000000001',
  channel: 'sms',
  destination: '+84912345678',
};
const challengeId = '2b1c4f0e-95d7-4a3b-8b66-3f6a54b7a001';

/** As the database stores it: `sha256(digest || uuid_send(challenge_id))`. */
function stored({ digest }: DrawnCode, id = challengeId): Buffer {
  return sha256(digest, Buffer.from(id.replaceAll('-', ''), 'hex'));
}

describe('drawing a code (rule 1)', () => {
  it.each([4, 5, 6, 7, 8, LONG_CODE_LENGTH])('draws %i ASCII digits', (length) => {
    for (let count = 0; count < 200; count += 1) {
      expect(drawCode(systemRandom, ring, binding, length).code).toMatch(
        new RegExp(`^[0-9]{${length}}$`),
      );
    }
  });

  it('draws each digit as often as any other at each place, the first one included', () => {
    const draws = 20_000;
    const counts = Array.from({ length: 6 }, () => Array.from({ length: 10 }, () => 0));
    const seen = new Set<string>();
    for (let count = 0; count < draws; count += 1) {
      const code = systemRandom.digits(6);
      seen.add(code);
      for (const [place, digit] of [...code].entries()) {
        const ofPlace = counts[place] ?? [];
        ofPlace[Number(digit)] = (ofPlace[Number(digit)] ?? 0) + 1;
      }
    }
    // 2,000 each, with a standard deviation of 42: seven of them are never left by chance.
    for (const count of counts.flat()) {
      expect(count).toBeGreaterThan(1_700);
      expect(count).toBeLessThan(2_300);
    }
    // Of a million codes, 20,000 draws repeat about 198.
    expect(draws - seen.size).toBeLessThan(400);
  });

  it('gives two people with one code different digests, and one person too when keys differ', () => {
    const fixed = { ...systemRandom, digits: () => '123456' };
    const digests = [
      drawCode(fixed, ring, binding, 6),
      drawCode(fixed, ring, { ...binding, subject: '0193a3c2-7a50-7000-8000-000000000002' }, 6),
      drawCode(fixed, keyRing([randomBytes(32)]), binding, 6),
    ].map(({ digest }) => digest.toString('hex'));
    expect(new Set(digests).size).toBe(3);
  });
});

describe('what a code is bound to (rule 4)', () => {
  const text = fc.string({ maxLength: 40 });
  const bindings = fc.record({
    purpose: fc.constantFrom('verify', 'sign_in', 'reset'),
    subject: text,
    channel: fc.constantFrom('email', 'sms'),
    destination: text,
  });

  it('matches itself', () => {
    fc.assert(
      fc.property(bindings, fc.uuid(), (bound, id) => {
        const drawn = drawCode(systemRandom, ring, bound, 6);
        expect(codeMatches(ring, bound, id, drawn.code, stored(drawn, id))).toBe(true);
        expect(codeMatches(ring, bound, id.toUpperCase(), drawn.code, stored(drawn, id))).toBe(
          true,
        );
      }),
    );
  });

  it('matches for no other purpose, subject, channel, destination, challenge or code', () => {
    fc.assert(
      fc.property(bindings, bindings, fc.uuid(), fc.uuid(), (bound, other, id, otherId) => {
        const drawn = drawCode(systemRandom, ring, bound, 6);
        const hash = stored(drawn, id);
        for (const part of ['purpose', 'subject', 'channel', 'destination'] as const) {
          const changed = { ...bound, [part]: other[part] };
          const same = other[part] === bound[part];
          expect(codeMatches(ring, changed, id, drawn.code, hash)).toBe(same);
        }
        expect(codeMatches(ring, bound, otherId, drawn.code, hash)).toBe(otherId === id);
        const last = (Number(drawn.code.slice(-1)) + 1) % 10;
        expect(codeMatches(ring, bound, id, `${drawn.code.slice(0, -1)}${last}`, hash)).toBe(false);
      }),
    );
  });

  it('keeps parts apart: what moves over from one to the next matches no more', () => {
    const drawn = drawCode(systemRandom, ring, { ...binding, subject: 'ab', destination: 'c' }, 6);
    for (const moved of [
      { ...binding, subject: 'a', destination: 'bc' },
      { ...binding, subject: 'abc', destination: '' },
    ]) {
      expect(codeMatches(ring, moved, challengeId, drawn.code, stored(drawn))).toBe(false);
    }
    const code = drawn.code;
    const shifted = { ...binding, subject: 'ab', destination: `c${code.slice(0, 1)}` };
    expect(codeMatches(ring, shifted, challengeId, code.slice(1), stored(drawn))).toBe(false);
  });
});

describe('keys of codes (rule 1)', () => {
  it('rotate: a code of an older key matches while that key is kept, and is drawn no more', () => {
    const old = drawCode(systemRandom, ring, binding, 6);
    const newer = randomBytes(32);
    const rotated = keyRing([newer, key]);
    expect(codeMatches(rotated, binding, challengeId, old.code, stored(old))).toBe(true);
    const fresh = drawCode(systemRandom, rotated, binding, 6);
    expect(codeMatches(keyRing([newer]), binding, challengeId, fresh.code, stored(fresh))).toBe(
      true,
    );
    expect(codeMatches(ring, binding, challengeId, fresh.code, stored(fresh))).toBe(false);
    const without = keyRing([newer, randomBytes(32)]);
    expect(codeMatches(without, binding, challengeId, old.code, stored(old))).toBe(false);
  });

  it('a dump cannot try codes: without the key none of them gives what is stored, with it one does', () => {
    const drawn = drawCode(systemRandom, ring, binding, 4);
    const hash = stored(drawn);
    const id = Buffer.from(challengeId.replaceAll('-', ''), 'hex');
    const { purpose, subject, channel, destination } = binding;
    const keyless = (code: string) => [
      sha256(code),
      sha256(code, id),
      sha256(purpose, subject, channel, destination, code, id),
      sha256(mac(Buffer.alloc(0), 'code', purpose, subject, channel, destination, code), id),
      sha256(mac(Buffer.alloc(32), 'code', purpose, subject, channel, destination, code), id),
    ];
    const found: string[] = [];
    for (let number = 0; number < 10_000; number += 1) {
      const code = String(number).padStart(4, '0');
      expect(keyless(code).some((guess) => guess.equals(hash))).toBe(false);
      if (codeMatches(ring, binding, challengeId, code, hash)) found.push(code);
    }
    expect(found).toEqual([drawn.code]);
  });
});

describe('reading a code that was typed', () => {
  const policy: CodePolicy = { length: 6, ttlSeconds: 300, cooldownSeconds: 60 };

  it('takes ASCII digits of the ordinary and of the long length, leading zeros included', () => {
    for (const code of ['000000', '123456', '0'.repeat(LONG_CODE_LENGTH)]) {
      expect(parseCode('code', code, policy)).toBe(code);
    }
  });

  it.each([
    '',
    '12345',
    '1234567',
    '123 456',
    ' 123456',
    '12345a',
    '-12345',
    '+12345',
    '1e5000',
    '１２３４５６',
    '١٢٣٤٥٦',
    '123456\n',
    '12345\u0000',
    '1'.repeat(19),
    '1'.repeat(21),
    '1'.repeat(10_000),
  ])('refuses %j, names the field, and does not repeat it', (code) => {
    expect(() => parseCode('code', code, policy)).toThrow(
      expect.objectContaining({ reason: 'CODE_MALFORMED', metadata: { field: 'code' } }),
    );
    try {
      parseCode('code', code, policy);
    } catch (error) {
      if (code !== '') expect(JSON.stringify(error)).not.toContain(code);
    }
  });
});
