import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { maskEmail, maskPhone } from '../../src/core/contact.js';
import {
  escapeHtml,
  type OutgoingMessage,
  plainLine,
  renderText,
} from '../../src/delivery/index.js';

const GSM = /^[A-Za-z0-9 \n@£$¥èéùìòÇØøÅå_ÆæßÉ!"#%&'()*+,\-./:;<=>?¡ÄÖÑÜ§¿äöñüà]*$/;
const LONG_CODE = '01234567890123456789';

function message(
  kind: OutgoingMessage['kind'],
  channel: 'email' | 'sms',
  locale: 'en' | 'vi',
  contact: { contactType: 'email' | 'phone'; maskedAddress: string } = {
    contactType: 'phone',
    maskedAddress: maskPhone('+84901234567'),
  },
): OutgoingMessage {
  const envelope = { channel, locale, to: 'x', lifetimeSeconds: 60 };
  return kind === 'verification_code'
    ? { ...envelope, kind, variables: { code: LONG_CODE, minutes: 10 } }
    : { ...envelope, kind, variables: contact };
}

const kinds = ['verification_code', 'contact_added', 'contact_changed'] as const;

describe('texts of messages (M3)', () => {
  it.each(kinds)('says %s in both languages and both channels', (kind) => {
    for (const channel of ['email', 'sms'] as const) {
      const english = renderText(message(kind, channel, 'en'));
      const vietnamese = renderText(message(kind, channel, 'vi'));
      expect(english.text).not.toBe(vietnamese.text);
      for (const { subject, text, html } of [english, vietnamese]) {
        expect(text).toContain('Countersign');
        expect(subject === null).toBe(channel === 'sms');
        expect(html === null).toBe(channel === 'sms');
      }
      expect(vietnamese.text).toMatch(/[ăâđêôơưạảấầẩẫậắằẳẵặẹẻẽếềểễệịỉĩọỏốồổỗộớờởỡợụủứừửữựỳỵỷỹ]/);
    }
  });

  it.each(kinds)('fits %s in one English SMS of the GSM alphabet', (kind) => {
    const longest = {
      contactType: 'email',
      maskedAddress: maskEmail('a@b.international'),
    } as const;
    const { text } = renderText(message(kind, 'sms', 'en', longest));
    expect(text).toMatch(GSM);
    expect(text.length).toBeLessThanOrEqual(160);
  });

  it('keeps even the long code in one piece, in text, HTML and SMS', () => {
    for (const locale of ['en', 'vi'] as const) {
      const mail = renderText(message('verification_code', 'email', locale));
      expect(mail.text).toContain(`\n${LONG_CODE}\n`);
      expect(mail.html).toContain(`>${LONG_CODE}</p>`);
      expect(mail.subject).not.toContain(LONG_CODE);
      expect(renderText(message('verification_code', 'sms', locale)).text).toContain(
        `${LONG_CODE} `,
      );
    }
  });

  it('shows masked addresses in full, bullets or not', () => {
    const contact = { contactType: 'email', maskedAddress: maskEmail('lan@example.vn') } as const;
    expect(renderText(message('contact_added', 'email', 'vi', contact)).text).toContain(
      'l•••@e•••.vn',
    );
    expect(renderText(message('contact_added', 'sms', 'vi', contact)).text).toContain(
      'l***@e***.vn',
    );
  });

  it('lets no text from outside become markup or a link (rule 23)', () => {
    const hostile = {
      contactType: 'email',
      maskedAddress: '<a href="https://evil.example/x">\r\nevil.example',
    } as const;
    for (const locale of ['en', 'vi'] as const) {
      const mail = renderText(message('contact_changed', 'email', locale, hostile));
      expect(mail.html).not.toContain('<a');
      expect(`${mail.html}${mail.text}`).not.toContain('evil.example');
      expect(renderText(message('contact_changed', 'sms', locale, hostile)).text).not.toMatch(
        /evil\.example|\r|\n/,
      );
    }
  });
});

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
