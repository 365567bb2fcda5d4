/** What every peer is asked to do. */
export const PEER_TASKS = ['sign-in', 'send-code', 'new-person', 'session-check'] as const;

/**
 * - `sign-in`: an address and the right password, answered with a session.
 * - `send-code`: a signed-in person asks for a code to a phone that is new to them.
 * - `new-person`: sign-up with a password, a code to the phone, and the code back.
 * - `session-check`: the server says whose token it was shown.
 */
export type PeerTask = (typeof PEER_TASKS)[number];

export interface PeerData {
  readonly address: string;
  readonly task: PeerTask;
  readonly messageFile: string;
}

/** A number of nobody yet: no two calls of a generator have the same. */
export function phoneNumber(nth: number): string {
  return `+8491${String(1_000_000 + nth).padStart(7, '0')}`;
}
