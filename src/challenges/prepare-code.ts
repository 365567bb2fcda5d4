import { type Channel, type Locale, maskDestination } from '../core/contact.js';
import type { Random } from '../core/ids.js';
import { type KeyRing, mac, SEAL_NONCE_BYTES, seal, unseal } from '../core/keys.js';
import type { Outbox, PreparedMessage } from '../delivery/index.js';
import type { SlotRequest } from './challenge-store.js';
import { type ChallengePurpose, type CodePolicy, drawCode, LONG_CODE_LENGTH } from './code.js';
import type { BudgetPolicy } from './guess-budget.js';

/** What everything that sends or judges codes needs. */
export interface CodeDeps {
  readonly random: Random;
  readonly codeKeys: KeyRing;
  readonly dataKeys: KeyRing;
  /** Keys the address rows of the budgets; never rotates, or every lock would be lifted by it. */
  readonly budgetSecret: Buffer;
  readonly codePolicy: CodePolicy;
  readonly budgetPolicy: BudgetPolicy;
  readonly outbox: Outbox;
}

export interface CodeRequest {
  readonly purpose: ChallengePurpose;
  readonly accountId: string;
  readonly channel: Channel;
  readonly destination: string;
  readonly caller: string;
  /** Language of the message where the account has chosen none. */
  readonly locale: Locale;
}

/** A send, worked out before its statement: the budgets decide there which of the two codes goes out. */
export interface PreparedCode {
  readonly slot: SlotRequest;
  readonly maskedDestination: string;
  readonly short: PreparedMessage;
  readonly long: PreparedMessage;
}

export function prepareCode(deps: CodeDeps, request: CodeRequest): PreparedCode {
  const { purpose, accountId, channel, destination, caller } = request;
  const binding = { purpose, subject: accountId, channel, destination };
  const draw = (length: number) => drawCode(deps.random, deps.codeKeys, binding, length);
  const short = draw(deps.codePolicy.length);
  const long = draw(LONG_CODE_LENGTH);
  const message = (code: string) =>
    deps.outbox.prepare({
      kind: 'verification_code',
      channel,
      to: destination,
      locale: request.locale,
      variables: { code, minutes: Math.max(1, Math.floor(deps.codePolicy.ttlSeconds / 60)) },
      accountId,
      lifetimeSeconds: deps.codePolicy.ttlSeconds,
    });
  return {
    slot: {
      candidateId: deps.random.handle(),
      purpose,
      channel,
      caller,
      addressSubject: addressSubject(deps.budgetSecret, channel, destination),
      destinationSealed: sealDestination(deps, accountId, channel, destination),
      short,
      long,
    },
    maskedDestination: maskDestination(channel, destination),
    short: message(short.code),
    long: message(long.code),
  };
}

/** What a budget knows an address by: the same for every account and caller. */
export function addressSubject(secret: Buffer, kind: string, value: string): Buffer {
  return mac(secret, 'address', kind, value);
}

/** Sealed for its slot, whose id only the database knows: account and channel name it as well. */
function sealDestination(deps: CodeDeps, accountId: string, channel: Channel, destination: string) {
  const nonce = deps.random.nonce(SEAL_NONCE_BYTES);
  return seal(
    deps.dataKeys,
    nonce,
    destinationContext(accountId, channel),
    Buffer.from(destination),
  );
}

export function openDestination(
  dataKeys: KeyRing,
  accountId: string,
  channel: Channel,
  sealed: Buffer,
): string {
  return unseal(dataKeys, destinationContext(accountId, channel), sealed).toString('utf8');
}

const destinationContext = (accountId: string, channel: Channel) =>
  `challenge:${accountId}:${channel}`;
