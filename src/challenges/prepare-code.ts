import {
  type Channel,
  type IdentifierType,
  type Locale,
  maskDestination,
} from '../core/contact.js';
import type { Random } from '../core/ids.js';
import { type KeyRing, mac, SEAL_NONCE_BYTES, seal, unseal } from '../core/keys.js';
import type { Outbox, PreparedMessage } from '../delivery/index.js';
import type { SlotRequest } from './challenge-store.js';
import { type CodePolicy, drawCode, LONG_CODE_LENGTH } from './code.js';
import type { BudgetPolicy } from './guess-budget.js';

/** What everything that makes or judges codes needs. */
export interface CodeMakingDeps {
  readonly random: Random;
  readonly codeKeys: KeyRing;
  readonly dataKeys: KeyRing;
  /** Keys the address rows of the budgets; never rotates, or every lock would be lifted by it. */
  readonly budgetSecret: Buffer;
  readonly codePolicy: CodePolicy;
  readonly budgetPolicy: BudgetPolicy;
}

/** And what sends them needs. */
export interface CodeDeps extends CodeMakingDeps {
  readonly outbox: Outbox;
}

/** A signed-in send. */
export interface CodeRequest {
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
  const { accountId, channel, destination, caller } = request;
  const binding = { purpose: 'verify', subject: accountId, channel, destination } as const;
  const draw = (length: number) => drawCode(deps.random, deps.codeKeys, binding, length);
  const short = draw(deps.codePolicy.length);
  const long = draw(LONG_CODE_LENGTH);
  const message = (code: string) =>
    deps.outbox.prepare({
      kind: 'verification_code',
      channel,
      to: destination,
      locale: request.locale,
      variables: { purpose: binding.purpose, code, minutes: minutesOf(deps.codePolicy) },
      accountId,
      lifetimeSeconds: deps.codePolicy.ttlSeconds,
    });
  return {
    slot: {
      candidateId: deps.random.handle(),
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

/** For how long a code works, as a message says it. */
export const minutesOf = ({ ttlSeconds }: CodePolicy): number =>
  Math.max(1, Math.floor(ttlSeconds / 60));

/** What a budget knows an address by: the same for every account and caller. */
export function addressSubject(secret: Buffer, kind: string, value: string): Buffer {
  return mac(secret, 'address', kind, value);
}

/**
 * What the password budgets know by which somebody signs in; undefined type: a text that is no identifier.
 * Nothing that codes are counted by.
 */
export function typedSubject(
  secret: Buffer,
  { type, value }: { readonly type: IdentifierType | undefined; readonly value: string },
): Buffer {
  return addressSubject(secret, `typed:${type ?? ''}`, value);
}

/**
 * The address of a challenge, sealed for its row. The id of the row is the database's to know: account (none:
 * undefined) and channel name it instead.
 */
export function sealDestination(
  deps: Pick<CodeMakingDeps, 'dataKeys' | 'random'>,
  accountId: string | undefined,
  channel: Channel,
  destination: string,
): Buffer {
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
  accountId: string | undefined,
  channel: Channel,
  sealed: Buffer,
): string {
  return unseal(dataKeys, destinationContext(accountId, channel), sealed).toString('utf8');
}

const destinationContext = (accountId = '', channel: Channel) =>
  `challenge:${accountId}:${channel}`;
