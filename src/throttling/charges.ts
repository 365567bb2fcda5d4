import { isIP } from 'node:net';
import { type Channel, regionOfPhone } from '../core/contact.js';
import { sourceKey } from './source-address.js';
import { type Charge, compoundKey } from './throttle.js';

/**
 * A charge on the person's address, with what else the limiter's key names. None for a loopback
 * address: it is no person's but a tool's on this machine, and all of those would share one counter.
 */
export function sourceCharges(
  limiter: 'callsPerSource' | 'signInsPerSource' | 'signUpsPerSource',
  source: string,
  ...parts: readonly string[]
): readonly Charge[] {
  if (isLoopback(source)) return [];
  const key = sourceKey(source);
  return [{ limiter, key: parts.length === 0 ? key : compoundKey(...parts, key) }];
}

/** What one message to a canonical address costs. */
export function sendCharges(channel: Channel, destination: string): readonly Charge[] {
  const perAddress: readonly Charge[] = [
    { limiter: 'sendsPerAddressShort', key: destination },
    { limiter: 'sendsPerAddressLong', key: destination },
  ];
  if (channel === 'email') return [...perAddress, { limiter: 'emailInAll', key: '' }];
  return [
    ...perAddress,
    { limiter: 'smsPerCountry', key: regionOfPhone(destination) },
    { limiter: 'smsInAll', key: '' },
  ];
}

function isLoopback(address: string): boolean {
  return address === '::1' || (isIP(address) === 4 && address.startsWith('127.'));
}
