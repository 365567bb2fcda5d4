import { isIP } from 'node:net';

/** The longest text of an address: IPv6 with an IPv4 tail. */
const MAX_ADDRESS_LENGTH = 45;
const GROUPS = 8;

/**
 * The canonical form of a client's address, or undefined for anything that is not exactly one
 * address (rule 21: garbage is refused): ports, zones, lists, names, blanks, leading zeros.
 * IPv4 stays as it is; IPv4-mapped IPv6 becomes IPv4, else one client would have two counters;
 * other IPv6 is written as RFC 5952 says. Idempotent.
 */
export function parseSourceAddress(raw: string): string | undefined {
  if (raw.length > MAX_ADDRESS_LENGTH) return undefined;
  const family = isIP(raw);
  if (family === 4) return raw;
  // A zone names an interface of the machine that saw it; `isIP` lets it pass.
  if (family !== 6 || raw.includes('%')) return undefined;
  return mappedIpv4(groupsOf(raw)) ?? canonicalIpv6(raw);
}

/**
 * What limits per source count: an IPv4 address, or the /64 of an IPv6 one, since whoever has one
 * address of a /64 usually has all of them. Takes what `parseSourceAddress` returned.
 */
export function sourceKey(address: string): string {
  const canonical = parseSourceAddress(address);
  if (canonical === undefined) throw new Error('sourceKey needs a parsed address');
  if (isIP(canonical) === 4) return canonical;
  const network = groupsOf(canonical)
    .slice(0, GROUPS / 2)
    .join(':');
  return `${canonicalIpv6(`${network}::`)}/64`;
}

/** The WHATWG URL parser writes IPv6 hosts in the RFC 5952 form, in hex groups only. */
function canonicalIpv6(address: string): string {
  return new URL(`http://[${address}]`).hostname.slice(1, -1);
}

/** The eight groups, hex without leading zeros. */
function groupsOf(address: string): readonly string[] {
  const [head = '', tail] = canonicalIpv6(address).split('::');
  const left = head === '' ? [] : head.split(':');
  if (tail === undefined) return left;
  const right = tail === '' ? [] : tail.split(':');
  const zeros = Array.from({ length: GROUPS - left.length - right.length }, () => '0');
  return [...left, ...zeros, ...right];
}

/** ::ffff:0:0/96, the IPv4 addresses as a dual-stack socket shows them. */
function mappedIpv4(groups: readonly string[]): string | undefined {
  const [high = '', low = ''] = groups.slice(6);
  if (groups.slice(0, 6).join(':') !== '0:0:0:0:0:ffff') return undefined;
  const bits = [high, low].map((group) => Number.parseInt(group, 16));
  return bits.flatMap((group) => [group >> 8, group & 0xff]).join('.');
}
