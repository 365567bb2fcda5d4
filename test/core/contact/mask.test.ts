import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { maskDestination, maskEmail, maskPhone } from '../../../src/core/contact.js';

describe('masks', () => {
  it('show the last two digits of a phone only, at one length (O5)', () => {
    expect(maskPhone('+84912345667')).toBe('•••••••67');
    fc.assert(
      fc.property(fc.stringMatching(/^\+[1-9][0-9]{6,14}$/), (phone) => {
        expect(maskPhone(phone)).toBe(`•••••••${phone.slice(-2)}`);
      }),
    );
  });

  it('show of an email its first letters and the top-level domain, at one length', () => {
    expect(maskEmail('nguyen.an@mail.example.com')).toBe('n•••@m•••.com');
    expect(maskEmail('a@b.vn')).toBe('a•••@b•••.vn');
  });

  it('show nothing of what has not the shape they expect', () => {
    for (const value of ['', 'secret', '12', '+84 912', 'a@b@c.com', '@b.com', 'a@b']) {
      expect(maskEmail(value)).toBe('•••');
      expect(maskPhone(value)).toBe('•••••••');
    }
  });

  it('go by the channel', () => {
    expect(maskDestination('email', 'an@example.com')).toBe('a•••@e•••.com');
    expect(maskDestination('sms', '+84912345667')).toBe('•••••••67');
  });
});
