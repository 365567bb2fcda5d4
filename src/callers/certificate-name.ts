/**
 * The names in a client certificate (subject alternative names) that can stand for a calling service,
 * in one canonical form: `DNS:bff.internal`, `URI:spiffe://example.org/bff`. The common name is not
 * one of them, and nothing is a pattern.
 */

const MAX_DNS_LENGTH = 253;
/** As long as a SPIFFE id may be. */
const MAX_URI_LENGTH = 2_048;
/** Of one certificate; whoever needs more is no calling service. */
const MAX_SHOWN_NAMES = 32;
/** Of one caller: an old name and a new one, for a few deployments. */
export const MAX_CERTIFICATE_NAMES = 8;

const DNS = /^(?!-)[a-z0-9-]{1,63}(?<!-)(?:\.(?!-)[a-z0-9-]{1,63}(?<!-))*$/;
/** Scheme, authority, path. No user, query or fragment, which an id does not have. */
const URI = /^([a-z][a-z0-9+.-]*:\/\/[a-z0-9._-]+(?::\d{1,5})?)((?:\/[\w.~!$&'()*+,;=:@%-]*)*)$/i;

/**
 * The canonical form of `DNS:…` or `URI:…`, or undefined where it is not exactly one such name. Host
 * names, schemes and authorities do not tell case apart, and paths do (RFC 4343, RFC 3986).
 */
export function parseCertificateName(text: string): string | undefined {
  const [, kind, value = ''] = /^(DNS|URI):(.*)$/s.exec(text) ?? [];
  if (kind === 'DNS') {
    const name = value.length <= MAX_DNS_LENGTH ? value.toLowerCase() : '';
    return DNS.test(name) ? `DNS:${name}` : undefined;
  }
  const [, origin, path = ''] = (value.length <= MAX_URI_LENGTH && URI.exec(value)) || [];
  return origin === undefined ? undefined : `URI:${origin.toLowerCase()}${path}`;
}

/** One entry as Node writes it: what could be taken for more than one value stands in JSON quotes. */
const ENTRY = /([A-Za-z][A-Za-z0-9 ]*):("(?:[^"\\]|\\.)*"|[^",]*)(?:, |$)/y;

/**
 * The names of a certificate, out of Node's text of its subject alternative names. That text once let a
 * value pass for several (CVE-2021-44532): it is read strictly from end to end, and what does not read so,
 * or holds more names than anybody needs, has none. Quoted values hold characters that no name of ours has.
 */
export function certificateNamesIn(subjectAltName: string | undefined): readonly string[] {
  if (subjectAltName === undefined || subjectAltName === '') return [];
  const names = new Set<string>();
  const entry = new RegExp(ENTRY);
  while (entry.lastIndex < subjectAltName.length) {
    const found = entry.exec(subjectAltName);
    if (found === null) return [];
    const name = parseCertificateName(`${found[1]}:${found[2]}`);
    if (name !== undefined) names.add(name);
  }
  return names.size > MAX_SHOWN_NAMES ? [] : [...names];
}
