import type { Channel } from './identifier-shape.js';

/** Always as long, whatever it hides: the length of an address narrows it down. */
const HIDDEN = '•••';
const HIDDEN_DIGITS = '•••••••';

/**
 * `a•••@e•••.com`: enough for its owner to recognise the address, not enough to write to it.
 * Takes canonical emails; of anything else it shows nothing.
 */
export function maskEmail(value: string): string {
  const [local = '', domain = '', ...rest] = value.split('@');
  const dot = domain.lastIndexOf('.');
  if (local === '' || dot <= 0 || rest.length > 0) return HIDDEN;
  return `${local.charAt(0)}${HIDDEN}@${domain.charAt(0)}${HIDDEN}${domain.slice(dot)}`;
}

/** `•••••••67`: the last two digits and nothing else, not even the country (O5). */
export function maskPhone(value: string): string {
  return /^\+[0-9]{4,15}$/.test(value) ? HIDDEN_DIGITS + value.slice(-2) : HIDDEN_DIGITS;
}

/** `Challenge.masked_destination`. */
export function maskDestination(channel: Channel, value: string): string {
  return channel === 'email' ? maskEmail(value) : maskPhone(value);
}
