import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { certificateNamesIn, parseCertificateName } from '../../src/callers/certificate-name.js';

describe('the name of a caller in its certificate', () => {
  it.each([
    ['DNS:bff.internal', 'DNS:bff.internal'],
    ['DNS:BFF.Internal', 'DNS:bff.internal'],
    ['DNS:bff', 'DNS:bff'],
    ['DNS:xn--bcher-kva.example', 'DNS:xn--bcher-kva.example'],
    ['URI:spiffe://Example.ORG/ns/Shop/sa/bff', 'URI:spiffe://example.org/ns/Shop/sa/bff'],
    ['URI:https://example.org:8443/a%20b', 'URI:https://example.org:8443/a%20b'],
    ['URI:spiffe://example.org', 'URI:spiffe://example.org'],
  ])('%s is %s', (written, canonical) => {
    expect(parseCertificateName(written)).toBe(canonical);
    expect(parseCertificateName(canonical)).toBe(canonical);
  });

  it.each([
    '',
    'bff.internal',
    'dns:bff.internal',
    'DNS:',
    'DNS:*.internal',
    'DNS:bff.internal.',
    'DNS:-bff',
    'DNS:bff-.internal',
    'DNS:bff..internal',
    'DNS:bff internal',
    'DNS:bff\n',
    'DNS:bücher.example',
    `DNS:${'a.'.repeat(127)}a`,
    `DNS:${'a'.repeat(64)}`,
    'IP Address:10.0.0.1',
    'email:a@example.org',
    'URI:bff',
    'URI:spiffe:///bff',
    'URI:spiffe://*/bff',
    'URI:spiffe://a@example.org/bff',
    'URI:spiffe://example.org/bff?x=1',
    'URI:spiffe://example.org/bff#x',
    'URI:spiffe://example.org/b ff',
    `URI:spiffe://example.org/${'a'.repeat(2_048)}`,
  ])('is not %j', (text) => {
    expect(parseCertificateName(text)).toBeUndefined();
  });
});

describe('the names of a certificate, as Node writes them', () => {
  it('are those of the two kinds, each once', () => {
    expect(
      certificateNamesIn(
        'DNS:bff.internal, IP Address:10.0.0.1, URI:spiffe://example.org/bff, DNS:BFF.internal, othername:<unsupported>',
      ),
    ).toEqual(['DNS:bff.internal', 'URI:spiffe://example.org/bff']);
    expect(certificateNamesIn(undefined)).toEqual([]);
  });

  it('are not what stands inside of another value (CVE-2021-44532)', () => {
    expect(certificateNamesIn('DNS:"a.internal, DNS:bff.internal", DNS:b.internal')).toEqual([
      'DNS:b.internal',
    ]);
    expect(certificateNamesIn('URI:"spiffe://x/\\", DNS:bff.internal"')).toEqual([]);
  });

  it.each([
    'DNS:a.internal,DNS:bff.internal',
    'DNS:bff.internal, "',
    'DNS:"bff.internal',
    'DNS:"x"DNS:bff.internal',
    'DNS:bff.internal, nonsense',
  ])('are none where the text does not read from end to end: %j', (text) => {
    expect(certificateNamesIn(text)).toEqual([]);
  });

  it('are none where there are more than anybody needs', () => {
    const names = (count: number) =>
      Array.from({ length: count }, (_, i) => `DNS:n${i}.internal`).join(', ');
    expect(certificateNamesIn(names(32))).toHaveLength(32);
    expect(certificateNamesIn(names(33))).toEqual([]);
  });

  it('never hold one that was written inside of quotes', () => {
    void fc.assert(
      fc.property(fc.string(), (value) => {
        const quoted = JSON.stringify(`${value}, DNS:bff.internal`);
        expect(certificateNamesIn(`URI:${quoted}`)).toEqual([]);
      }),
    );
  });
});
