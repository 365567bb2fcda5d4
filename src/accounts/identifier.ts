import type { Channel, IdentifierType } from '../core/contact.js';

/**
 * How an identifier stands to its account (the table of meanings: docs/architecture.md).
 *
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> claimed: somebody says so
 *   claimed --> [*]: a rival proves it, or 7 days without a live code
 *   claimed --> verified: proven by code
 *   claimed --> contact: proven, but another account holds it (PROOF_COLLISION=contact)
 *   contact --> verified: proven again or switched on, and nobody holds it
 *   verified --> lapsed: a recovery through another channel, soon after its proof
 *   lapsed --> verified: proven again
 *   verified --> disputed: held by several accounts in old data; an operator vouched for it, and another account proves it
 * ```
 */
export type IdentifierState = 'claimed' | 'verified' | 'contact' | 'lapsed' | 'disputed';

export interface Identifier {
  readonly type: IdentifierType;
  readonly value: string;
  readonly state: IdentifierState;
  readonly verifiedAt: Date | undefined;
  readonly signInEnabled: boolean;
  /** A username that the service made up; its owner may change it once. */
  readonly generated: boolean;
}

/** The badge: proven, and not lapsed or disputed since. */
export function isVerified(identifier: Identifier): boolean {
  return identifier.state === 'verified' || identifier.state === 'contact';
}

/** The identifier type that a channel proves. */
export function typeOfChannel(channel: Channel): 'email' | 'phone' {
  return channel === 'sms' ? 'phone' : 'email';
}

export function channelOfType(type: 'email' | 'phone'): Channel {
  return type === 'phone' ? 'sms' : 'email';
}

/** What a proof does beyond proving (V7). */
export interface ProofPolicy {
  /** Whether a freshly proven channel becomes a sign-in handle by itself. */
  readonly promote: Readonly<Record<Channel, 'automatic' | 'manual' | 'off'>>;
  /** What happens when another account holds the address. */
  readonly collision: 'refuse' | 'contact';
}

/** A claim without a live code falls after this long. */
export const CLAIM_LIFETIME_DAYS = 7;
/** Claims on one address; the oldest falls. */
export const MAX_CLAIMS_PER_ADDRESS = 20;
/** How recent an authentication must be to start a change of the ways in (rule 12). */
export const RECENT_AUTHENTICATION_SECONDS = 600;
