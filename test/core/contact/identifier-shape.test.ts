import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import {
  classifyIdentifier,
  parseEmail,
  parsePhone,
  parseUsername,
} from '../../../src/core/contact.js';
import { accepted } from './refusal.js';

describe('the one sign-in field (A2)', () => {
  it.each([
    ['Nguyen.An', undefined, { type: 'username', value: 'nguyen.an' }],
    ['An@Example.com', undefined, { type: 'email', value: 'an@example.com' }],
    ['+84 912 345 678', undefined, { type: 'phone', value: '+84912345678' }],
    ['0912345678', 'vn', { type: 'phone', value: '+84912345678' }],
    ['a0912345678', 'VN', { type: 'username', value: 'a0912345678' }],
    ['admin', undefined, { type: 'username', value: 'admin' }],
    ['+84912345678', 'no region', { type: 'phone', value: '+84912345678' }],
  ] as const)('reads %s in %s by its value', (raw, region, expected) => {
    expect(classifyIdentifier(raw, region, {})).toEqual(expected);
  });

  it.each([
    ['nothing', '', undefined],
    ['white space', '   ', 'VN'],
    ['a national number without a region', '0912345678', undefined],
    ['a national number in an unknown region', '0912345678', 'ZZ'],
    ['a broken email, though its local part is a username', 'ann@', undefined],
    ['two emails', 'a@example.com,b@example.com', undefined],
    ['a premium-rate number', '+19005550123', undefined],
    ['a number with an extension', '+84912345678x1', undefined],
    ['a script that no identifier has', 'nguyễn', undefined],
    ['255 characters', 'a'.repeat(255), undefined],
  ])('leaves %s to the decoy', (_, raw, region) => {
    expect(classifyIdentifier(raw, region, {})).toBeUndefined();
  });

  it('leaves numbers of refused countries to the decoy (P6)', () => {
    const policy = { allowedRegions: new Set(['VN']) };
    expect(classifyIdentifier('+12125550100', undefined, policy)).toBeUndefined();
  });

  it('finds every canonical identifier again as what it was parsed as', () => {
    const canonical = fc.oneof(
      fc.stringMatching(/^[a-z][a-z0-9]{2,9}(?:[._-][a-z0-9]{1,6}){0,3}$/).map((raw) => ({
        type: 'username',
        value: accepted(() => parseUsername('username', raw)),
      })),
      fc
        .emailAddress()
        .map((raw) => ({ type: 'email', value: accepted(() => parseEmail('email', raw)) })),
      fc.stringMatching(/^\+(?:849[0-9]{8}|1212[2-9][0-9]{6}|4479[0-9]{8})$/).map((raw) => ({
        type: 'phone',
        value: accepted(() => parsePhone('phone_number', raw, undefined, {})),
      })),
    );
    let count = 0;
    fc.assert(
      fc.property(
        canonical,
        fc.constantFrom(undefined, 'VN', 'US', 'ZZ'),
        ({ type, value }, region) => {
          if (value === undefined) return;
          count += 1;
          expect(classifyIdentifier(value, region, {})).toEqual({ type, value });
        },
      ),
      { numRuns: 3000 },
    );
    expect(count).toBeGreaterThan(1500);
  });

  it('never throws, whatever is typed', () => {
    const text = fc.string({ unit: 'binary', maxLength: 300 });
    fc.assert(
      fc.property(text, fc.option(text, { nil: undefined }), (raw, region) => {
        const found = classifyIdentifier(raw, region, {});
        if (found !== undefined) expect(['username', 'email', 'phone']).toContain(found.type);
      }),
      { numRuns: 3000 },
    );
  });
});
