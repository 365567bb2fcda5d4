/** What the scenarios of the overload suite share. */
import { status } from '@grpc/grpc-js';
import type { Target } from './scenario.js';

/** A person's address, another one for each of 65,536, as a BFF passes it on. */
export function personAt(person: number): Readonly<Record<string, string>> {
  return { 'countersign-client-address': `10.7.${(person >> 8) & 255}.${person & 255}` };
}

export function callerMetadata({ callerKey }: Target): Readonly<Record<string, string>> {
  return callerKey === undefined ? {} : { 'countersign-caller-key': callerKey };
}

/** The limits are lifted, so that nothing but the hash lane answers `RESOURCE_EXHAUSTED`. */
export function outcomeOf(code: number): string {
  if (code === status.OK) return 'ok';
  if (code === status.RESOURCE_EXHAUSTED) return 'OVERLOADED';
  return status[code] ?? `status ${code}`;
}
