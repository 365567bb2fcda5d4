import type { FlowRequest } from '../challenges/index.js';
import {
  type Channel,
  classifyIdentifier,
  type IdentifierType,
  type Locale,
  type PhonePolicy,
} from '../core/contact.js';
import { fieldInvalid } from '../core/errors.js';
import { sha256 } from '../core/keys.js';

export interface RecoveryPolicy {
  /** Where a code goes: to what was typed, or to a proven channel of the account that it names. */
  readonly delivery: 'typed' | 'registered';
  /** Which of an account's channels a registered delivery takes, the first that there is. */
  readonly channels: readonly Channel[];
}

export interface ResetRequest {
  readonly typed: FlowRequest['typed'];
  readonly challengeId: string | undefined;
  readonly locale: Locale;
}

/**
 * What somebody typed to recover an account by. In typed delivery it has to be an email or a phone, and is
 * refused by its shape alone (`FIELD_INVALID`). In registered delivery nothing is: what is no identifier is
 * known by its digest, which is too long for the name of any account.
 */
export function typedForReset(
  field: string,
  raw: string,
  policy: {
    readonly delivery: RecoveryPolicy['delivery'];
    readonly region: string | undefined;
    readonly phone: PhonePolicy;
  },
): FlowRequest['typed'] {
  if (raw === '') throw fieldInvalid(field, 'must not be empty');
  const identifier = classifyIdentifier(raw, policy.region, policy.phone);
  if (policy.delivery === 'registered') {
    return identifier ?? { type: 'username', value: sha256(raw).toString('hex') };
  }
  if (identifier === undefined || identifier.type === 'username') {
    throw fieldInvalid(field, 'must be an email address or a phone number');
  }
  return identifier;
}

/** What typed delivery counts by is the channel of what was typed; which way a registered one goes nobody may see. */
const CHANNELS = { username: 'sms', phone: 'sms', email: 'email' } as const satisfies Record<
  IdentifierType,
  Channel
>;

/** The anonymous flow that a request begins, or goes on with. */
export function resetFlow(
  { delivery }: Pick<RecoveryPolicy, 'delivery'>,
  request: ResetRequest,
): FlowRequest {
  return {
    ...request,
    kind: 'reset_request',
    purpose: 'reset',
    channel: delivery === 'registered' ? 'sms' : CHANNELS[request.typed.type],
  };
}
