import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';
import { keyRing } from '../../src/core/keys.js';
import { createRefreshTokens } from '../../src/sessions/index.js';
import { newTokenKeys } from './fixtures.js';

const tokenKeys = newTokenKeys();
const tokens = createRefreshTokens({ tokenKeys, random: systemRandom });
const refused = expect.objectContaining({ reason: 'REFRESH_TOKEN_INVALID' });

describe('refresh tokens', () => {
  it('read what they made, for any session and caller', () => {
    fc.assert(
      fc.property(fc.uuid(), fc.string({ unit: 'grapheme' }), (sessionId, caller) => {
        const first = tokens.first(sessionId, caller);
        const presented = tokens.read(first.token, caller);
        expect(presented).toMatchObject({ sessionId, caller, generation: 0, hash: first.hash });
        const second = tokens.successorOf(presented);
        expect(tokens.read(second.token, caller)).toMatchObject({ sessionId, generation: 1 });
        expect(tokens.openSuccessor(presented, second.sealed)).toBe(second.token);
      }),
      { numRuns: 200 },
    );
  });

  it('carry 256 random bits and never repeat (rule 18)', () => {
    const id = systemRandom.id();
    const secrets = Array.from({ length: 500 }, () =>
      tokens.read(tokens.first(id, 'a').token, 'a').secret.toString('hex'),
    );
    expect(new Set(secrets).size).toBe(500);
    expect(secrets.every((secret) => secret.length === 64)).toBe(true);
  });

  it('refuse another caller, however alike the names are (rule 18)', () => {
    const { token } = tokens.first(systemRandom.id(), 'web');
    for (const caller of ['', 'we', 'webb', 'Web', 'web ']) {
      expect(() => tokens.read(token, caller)).toThrow(refused);
    }
  });

  it('refuse any change of any letter, so that one token has one spelling', () => {
    const { token } = tokens.first(systemRandom.id(), 'web');
    const alphabet = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_+/=. ';
    fc.assert(
      fc.property(fc.nat(token.length - 1), fc.constantFrom(...alphabet), (at, letter) => {
        fc.pre(token[at] !== letter);
        const other = token.slice(0, at) + letter + token.slice(at + 1);
        expect(() => tokens.read(other, 'web')).toThrow(refused);
      }),
      { numRuns: 1_000 },
    );
  });

  it('refuse garbage of any shape', () => {
    const { token } = tokens.first(systemRandom.id(), 'web');
    const garbage = [
      '',
      'crt_',
      token.slice(0, -1),
      `${token}A`,
      token.slice(4),
      `CRT_${token.slice(4)}`,
      `${token}=`,
      ` ${token}`,
      `crt_${'A'.repeat(114)}`,
      'crt_'.padEnd(60_000, 'A'),
      'eyJ.eyJ.sig',
    ];
    for (const text of garbage) expect(() => tokens.read(text, 'web')).toThrow(refused);
    fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 300 }), (text) => {
        expect(() => tokens.read(text, 'web')).toThrow(refused);
      }),
    );
  });

  it('are known under older TOKEN_KEYS, and not under others', () => {
    const { token } = tokens.first(systemRandom.id(), 'web');
    const rotated = keyRing([systemRandom.bytes(32), tokenKeys.current.key]);
    const after = createRefreshTokens({ tokenKeys: rotated, random: systemRandom });
    expect(after.read(token, 'web').generation).toBe(0);
    const strange = createRefreshTokens({ tokenKeys: newTokenKeys(), random: systemRandom });
    expect(() => strange.read(token, 'web')).toThrow(refused);
  });

  it('seal the successor for the holder of the predecessor alone', () => {
    const presented = tokens.read(tokens.first(systemRandom.id(), 'web').token, 'web');
    const successor = tokens.successorOf(presented);
    expect(successor.sealed.includes(Buffer.from(successor.token.slice(4), 'base64url'))).toBe(
      false,
    );
    const another = tokens.read(tokens.first(presented.sessionId, 'web').token, 'web');
    expect(() => tokens.openSuccessor(another, successor.sealed)).toThrow('altered');
    const later = { ...presented, generation: 7 };
    expect(() => tokens.openSuccessor(later, successor.sealed)).toThrow();
  });
});
