import { ErrorReason } from '../../generated/countersign/v1/error_reason.js';

/** Every reason of the contract's `ErrorReason`, without its prefix. */
export type Reason = Exclude<keyof typeof ErrorReason, 'UNSPECIFIED' | 'UNRECOGNIZED'>;

/**
 * `UNKNOWN` stands for a failure that carries no reason (the network, a proxy, a deadline) and for
 * a reason that is younger than this client: fall back on the status code.
 */
export type ReasonOrUnknown = Reason | 'UNKNOWN';

// A numeric TypeScript enum also maps numbers back to names: only names that are not numbers count.
const NAMES: ReadonlySet<string> = new Set(
  Object.keys(ErrorReason).filter(
    (name) => /^[A-Z]/.test(name) && !/^UN(SPECIFIED|RECOGNIZED)$/.test(name),
  ),
);

export const REASONS: readonly Reason[] = [...NAMES].filter(isKnownReason);

export function isKnownReason(name: string): name is Reason {
  return NAMES.has(name);
}
