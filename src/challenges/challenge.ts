import type { Channel } from '../core/contact.js';

/**
 * A code that waits to be typed: a slot in which each send rotates the code and keeps the id.
 *
 * ```mermaid
 * stateDiagram-v2
 *   [*] --> live: first send
 *   live --> live: next send (new code, the old one is dead)
 *   live --> used: redeemed
 *   live --> expired: CODE_TTL over, or the account's proof epoch rose
 *   used --> live: next send
 *   expired --> live: next send
 * ```
 */
export interface Challenge {
  readonly challengeId: string;
  readonly channel: Channel;
  readonly maskedDestination: string;
  readonly expiresAt: Date;
  readonly resendAt: Date;
}
