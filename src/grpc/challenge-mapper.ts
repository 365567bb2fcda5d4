import {
  type Challenge as ChallengeMessage,
  Channel as ChannelMessage,
} from '../../generated/countersign/v1/challenge.js';
import type { Challenge } from '../challenges/index.js';
import type { Channel } from '../core/contact.js';

const channels = {
  email: ChannelMessage.EMAIL,
  sms: ChannelMessage.SMS,
} as const satisfies Record<Channel, ChannelMessage>;

export function toChallengeMessage(challenge: Challenge): ChallengeMessage {
  return {
    challengeId: challenge.challengeId,
    channel: channels[challenge.channel],
    maskedDestination: challenge.maskedDestination,
    expireTime: challenge.expiresAt,
    resendTime: challenge.resendAt,
  };
}
