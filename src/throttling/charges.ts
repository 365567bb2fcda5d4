import type { Call } from '../core/call.js';
import { type Channel, type IdentifierType, regionOfPhone } from '../core/contact.js';
import { DomainError } from '../core/errors.js';
import type { LimiterName } from './limits.js';
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
  const perAddress = addressCharges(destination, knownSource(call));
  if (channel === 'email') return [...perAddress, { limiter: 'emailInAll', key: '' }];
  return [
    ...perAddress,
    { limiter: 'smsPerCountry', key: regionOfPhone(destination) },
    { limiter: 'smsInAll', key: '' },
  ];
}

function addressCharges(key: string, source: string | undefined): readonly Charge[] {
  return [
    { limiter: 'sendsPerAddressShort', key, source },
    { limiter: 'sendsPerAddressLong', key, source },
  ];
}

/** What every anonymous request costs, whatever comes of it: each writes a row. */
export const ADMISSION: readonly Charge[] = [{ limiter: 'anonymousInAll', key: '' }];

/** What a stranger typed, in canonical form. */
interface Typed {
  readonly type: IdentifierType;
  readonly value: string;
}

interface AnonymousRequest {
  /** Asking for one thing does not hold back who asks for another. */
  readonly purpose: 'verify' | 'sign_in' | 'reset';
  /** It names the flow that it belongs to, which has a hard cooldown of its own. */
  readonly again: boolean;
}

/**
 * What the message of an anonymous request costs, by what was typed alone (rule 8): charged as the `sends`
 * of an RPC. `channel` is undefined where only the worker learns by which one the message goes, if any.
 */
export function anonymousCharges(
  typed: Typed,
  channel: Channel | undefined,
  call: Origin,
  { purpose, again }: AnonymousRequest,
): readonly Charge[] {
  const source = knownSource(call);
  // A username shares no count with an address, whatever either looks like.
  const key = typed.type === 'username' ? compoundKey('username', typed.value) : typed.value;
  const resend: readonly Charge[] =
    again || source === undefined
      ? []
      : [{ limiter: 'resendsPerSource', key: compoundKey(purpose, key, source) }];
  const sends =
    channel === undefined ? addressCharges(key, source) : sendCharges(channel, typed.value, call);
  return [...resend, ...sends];
}

/**
 * What a message costs whose way the account chose: charged by the worker, for nobody's source. The address's own
 * share too, unless it is what was typed, which the request was charged for.
 */
export function chosenCharges(
  channel: Channel,
  destination: string,
  typed: Typed,
): readonly Charge[] {
  const stranger = { source: '', sourceIsLocal: true, sourceIsCaller: false };
  const charges = sendCharges(channel, destination, stranger);
  if (destination !== typed.value) return charges;
  return charges.filter(({ limiter }) => !PER_ADDRESS.has(limiter));
}

const PER_ADDRESS: ReadonlySet<LimiterName> = new Set([
  'sendsPerAddressShort',
  'sendsPerAddressLong',
]);

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
