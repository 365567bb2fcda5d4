import { isIPv4, isIPv6 } from 'node:net';
import { isSupportedRegion } from '../core/contact.js';
import type { TransportSpec } from '../delivery/index.js';

/** What a text means, or what is wrong with it: words that follow "is" and never repeat the text. */
export type Parsed<T> = { readonly value: T } | { readonly wrong: string };

export interface Address {
  /** Without brackets. */
  readonly host: string;
  readonly port: number;
}

const UNIT_SECONDS = { d: 86_400, h: 3_600, m: 60, s: 1 } as const;
/** Digits that stay exact in a double whatever their unit. */
const WHOLE = /^(0|[1-9][0-9]{0,9})$/;
const DURATION = /^(0|[1-9][0-9]{0,9})([smhd])$/;
const LIMIT = /^([1-9][0-9]{0,9})\/([1-9][0-9]{0,9}[smhd])$/;
const BRACKETED = /^\[(?<host>[^\]]*)\]:(?<port>[0-9]{1,5})$/;
const PLAIN = /^(?<host>[^:[\]]*):(?<port>[0-9]{1,5})$/;
const HOST_NAME = /^(?=.{1,253}$)[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/i;
const CALLING_CODE = /^\+[1-9][0-9]{0,2}$/;
const MAX_REGIONS = 300;

export function parseWhole(text: string): Parsed<number> {
  if (!WHOLE.test(text)) return { wrong: 'not a whole number in decimal digits' };
  return { value: Number(text) };
}

/** Seconds. */
export function parseDuration(text: string): Parsed<number> {
  const [, digits, unit] = DURATION.exec(text) ?? [];
  if (digits === undefined || unit === undefined) {
    return { wrong: 'not a duration such as 90s, 15m, 12h or 30d' };
  }
  return { value: Number(digits) * UNIT_SECONDS[unit as keyof typeof UNIT_SECONDS] };
}

/** In the largest unit that divides it: 86400 is `1d`. */
export function formatDuration(seconds: number): string {
  for (const [unit, size] of Object.entries(UNIT_SECONDS)) {
    if (seconds >= size && seconds % size === 0) return `${seconds / size}${unit}`;
  }
  return `${seconds}s`;
}

export function parseSwitch(text: string): Parsed<boolean> {
  if (text === 'true' || text === '1') return { value: true };
  if (text === 'false' || text === '0') return { value: false };
  return { wrong: 'neither true nor false' };
}

/** `host:port`, IPv6 in brackets. Port 0 lets the system pick. */
export function parseAddress(text: string): Parsed<Address> {
  const { host, port } = (BRACKETED.exec(text) ?? PLAIN.exec(text))?.groups ?? {};
  if (host === undefined || port === undefined) {
    return { wrong: 'not of the form host:port, or [host]:port for IPv6' };
  }
  if (host === '') return { wrong: 'without a host; 0.0.0.0 or [::] is every interface' };
  const fits = text.startsWith('[') ? isIPv6(host) : isIPv4(host) || isName(host);
  if (!fits) return { wrong: 'without a valid host name or IP address' };
  if (Number(port) > 65_535) return { wrong: 'without a port from 0 to 65535' };
  return { value: { host, port: Number(port) } };
}

/** Not what looks like an IPv4 address and is none: its last label would be a number. */
function isName(host: string): boolean {
  return HOST_NAME.test(host) && !/(^|\.)[0-9]+$/.test(host);
}

export function parseTransport(text: string): Parsed<TransportSpec> {
  if (text === 'console') return { value: 'console' };
  if (text.startsWith('file:') && text.length > 'file:'.length) {
    return { value: `file:${text.slice('file:'.length)}` };
  }
  return { wrong: 'neither console nor file:PATH' };
}

export function parseUrl(text: string, schemes: readonly string[]): Parsed<string> {
  const protocol = URL.canParse(text) ? new URL(text).protocol : '';
  if (schemes.some((scheme) => protocol === `${scheme}:`)) return { value: text };
  return { wrong: `not a URL that starts with ${schemes.map((s) => `${s}://`).join(' or ')}` };
}

export function parseRegion(text: string): Parsed<string> {
  if (!isSupportedRegion(text)) return { wrong: 'not a known ISO 3166-1 alpha-2 code such as VN' };
  return { value: text.toUpperCase() };
}

export function parseRegions(text: string): Parsed<ReadonlySet<string>> {
  const parts = text.split(',').map((part) => part.trim());
  if (parts.length > MAX_REGIONS) return { wrong: `longer than ${MAX_REGIONS} regions` };
  if (!parts.every((part) => CALLING_CODE.test(part) || isSupportedRegion(part))) {
    return { wrong: 'not a list of ISO 3166-1 alpha-2 codes (VN,SG) or calling codes (+883)' };
  }
  return { value: new Set(parts.map((part) => part.toUpperCase())) };
}

/** `points/window`: 30/1m. */
export function parseLimit(text: string): Parsed<{ points: number; windowSeconds: number }> {
  const [, points, window] = LIMIT.exec(text) ?? [];
  const seconds = parseDuration(window ?? '');
  if (points === undefined || 'wrong' in seconds) {
    return { wrong: 'not of the form points/window, such as 30/1m' };
  }
  return { value: { points: Number(points), windowSeconds: seconds.value } };
}
