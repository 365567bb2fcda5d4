import type { Channel } from '../core/contact.js';

/** For the metrics: what becomes of messages. */
export interface DeliveryObserver {
  sent(channel: Channel): void;
  /** An attempt that failed; the message may still go out. */
  failed(channel: Channel): void;
  /** A request that came to nothing: no message was due. */
  dropped(channel: Channel): void;
  expired(messages: number): void;
  /** Seconds since the oldest message that is not sent yet was queued, by anybody; 0: there is none. */
  oldestUnsent(ageSeconds: number): void;
}

export const nobody: DeliveryObserver = {
  sent: () => {},
  failed: () => {},
  dropped: () => {},
  expired: () => {},
  oldestUnsent: () => {},
};
