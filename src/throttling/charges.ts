import type { Call } from '../core/call.js';
import { type Channel, regionOfPhone } from '../core/contact.js';
import { DomainError } from '../core/errors.js';
import { sourceKey } from './source-address.js';
import { type Charge, compoundKey, type Receipt, type Throttle } from './throttle.js';

/**
 * A charge on the person's address, with what else the limiter's key names. None for a loopback peer
 * that names no person: it is a tool on this machine, and all of those would share one counter.
 */
export function sourceCharges(
  limiter: 'callsPerSource' | 'signInsPerSource' | 'signUpsPerSource',
  call: Pick<Call, 'source' | 'sourceIsLocal'>,
  ...parts: readonly string[]
): readonly Charge[] {
  if (call.sourceIsLocal) return [];
  const key = sourceKey(call.source);
  return [{ limiter, key: parts.length === 0 ? key : compoundKey(...parts, key) }];
}

/** The network of those whose address is not known, and of no person on the internet. */
const NOWHERE = sourceKey('::');

type Origin = Pick<Call, 'source' | 'sourceIsLocal' | 'sourceIsCaller'>;

/**
 * The source that an address may know a call by; none where it does not stand for a person. Were it a
 * whole service, any stranger who comes through it could tell which addresses know it (rule 8).
 */
function knownSource({ source, sourceIsLocal, sourceIsCaller }: Origin): string | undefined {
  if (sourceIsLocal || sourceIsCaller) return undefined;
  const key = sourceKey(source);
  return key === NOWHERE ? undefined : key;
}

/** Lets a canonical address know who has just proven it, or signed in with it. */
export function rememberSource(
  throttle: Pick<Throttle, 'remember'>,
  address: string,
  call: Origin,
): void {
  const source = knownSource(call);
  if (source !== undefined) throttle.remember(address, source);
}

/** What one message to a canonical address costs. */
export function sendCharges(
  channel: Channel,
  destination: string,
  call: Origin,
): readonly Charge[] {
  const source = knownSource(call);
  const perAddress: readonly Charge[] = [
    { limiter: 'sendsPerAddressShort', key: destination, source },
    { limiter: 'sendsPerAddressLong', key: destination, source },
  ];
  if (channel === 'email') return [...perAddress, { limiter: 'emailInAll', key: '' }];
  return [
    ...perAddress,
    { limiter: 'smsPerCountry', key: regionOfPhone(destination) },
    { limiter: 'smsInAll', key: '' },
  ];
}

/**
 * Does the work that a call was admitted for, and gives the charges back where it turns out to have sent
 * nothing: nobody may use up an address's share without a message having gone to it. Only a refusal
 * says so for sure; work that was broken off may have been carried out.
 */
export async function spendOnSends<T>(
  receipt: Receipt,
  charges: readonly Charge[],
  work: () => Promise<T>,
  sentNothing: (result: T) => boolean,
): Promise<T> {
  try {
    const result = await work();
    if (sentNothing(result)) await receipt.giveBack(charges);
    return result;
  } catch (error) {
    if (error instanceof DomainError) await receipt.giveBack(charges);
    throw error;
  }
}
