import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { maskEmail, maskPhone } from '../../src/core/contact.js';
import { escapeHtml, plainLine } from '../../src/delivery/index.js';

describe('escaping (rule 23)', () => {
  it('leaves nothing that HTML reads as markup, and loses nothing', () => {
    fc.assert(
      fc.property(fc.string({ unit: 'grapheme' }), (text) => {
        const escaped = escapeHtml(text);
        expect(escaped).not.toMatch(/[<>"']|&(?!(?:amp|lt|gt|quot|#39);)/);
        const back = escaped
          .replaceAll('&lt;', '<')
          .replaceAll('&gt;', '>')
          .replaceAll('&quot;', '"')
          .replaceAll('&#39;', "'")
          .replaceAll('&amp;', '&');
        expect(back).toBe(text);
      }),
    );
  });

  it('leaves one line without control characters or links', () => {
    const piece = fc.oneof(
      fc.string({ unit: 'binary' }),
      fc.constantFrom(
        '\r\n',
        '\u202e',
        '\u0000',
        'https://evil.example/x',
        'evil.example',
        'www.evil.vn/a',
        ' ',
      ),
    );
    fc.assert(
      fc.property(fc.array(piece), (pieces) => {
        const line = plainLine(pieces.join(' '));
        expect(line).not.toMatch(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u);
        expect(line).not.toMatch(/evil\.(?:example|vn)|:\/\//);
      }),
    );
  });

  it('lets masked addresses pass unchanged', () => {
    for (const masked of [maskEmail('lan@example.co.uk'), maskPhone('+84901234567')]) {
      expect(plainLine(masked)).toBe(masked);
    }
  });
});
