import type { VerifyPasswordResetCodeResponse } from '../../generated/countersign/v1/auth_service.js';
import { rowKey } from './budgets.js';
import { type Expected, issueCode, refused, requestFlow } from './expected.js';
import { type Guessed, guessAt, holds } from './guessing.js';
import {
  type Account,
  accountOf,
  allRowsOf,
  type Challenge,
  contactsOf,
  contactsWith,
  disputersOf,
  hasWayIn,
  holderOf,
  type Kind,
  type Model,
  RECENTLY_PROVEN,
  RESET_TOKEN_TTL,
} from './model.js';

export type Typed = Challenge['typed'];

/** The account that a recovery is for, by what was typed. */
function ownerOf(model: Model, { type, value }: Typed): Account | undefined {
  if (type === 'username')
    return [...model.accounts.values()].find(({ username }) => username?.value === value);
  const holder = holderOf(model, type, value);
  if (holder !== undefined) return holder.held.get(type)?.state === 'verified' ? holder : undefined;
  const contacts = contactsWith(model, type, value);
  const alone = contacts.length === 1 && disputersOf(model, type, value).length === 0;
  return alone ? contacts[0] : undefined;
}

/** Where its code goes. */
function deliverable(model: Model, account: Account, typed: Typed) {
  const serves = (kind: Kind) => {
    const held = account.held.get(kind);
    const proven = held?.state === 'verified' || held?.state === 'contact';
    return proven ? { kind, value: held.value } : undefined;
  };
  if (model.rules.delivery === 'registered') return serves('phone') ?? serves('email');
  return typed.type === 'username' ? undefined : serves(typed.type);
}

export function requestReset(
  model: Model,
  { owner, typed, again }: { owner: number; typed: Typed; again: Challenge | undefined },
): Expected<{ challenge?: { challengeId: string } | undefined }> {
  const registered = model.rules.delivery === 'registered';
  if (!registered && typed.type === 'username') return refused('FIELD_INVALID');
  const account = ownerOf(model, typed);
  const to = account && deliverable(model, account, typed);
  const resolve = (challenge: Challenge) =>
    to === undefined || account?.status !== 'active'
      ? []
      : issueCode(model, challenge, { accountId: account.id, ...to });
  const channel = registered || typed.type === 'phone' ? 'sms' : 'email';
  const flow = requestFlow(model, { owner, purpose: 'reset', channel, typed, again, resolve });
  return { ...flow, told: account?.status === 'blocked' && to !== undefined ? [to.value] : [] };
}

export function verifyResetCode(
  model: Model,
  { challenge, code }: { challenge: Challenge; code: string },
): Guessed {
  const fits = challenge.purpose === 'reset' ? challenge : undefined;
  const guess = guessAt(model, fits, { code, lane: 'anonymous', whileHolds: false });
  if (guess.answer !== 'OK') return guess;
  if (!holds(model, challenge) || !stillServes(model, challenge))
    return { ...guess, answer: 'CODE_EXPIRED' };
  guess.redeem();
  return {
    ...guess,
    learn(response) {
      const { resetToken } = response as VerifyPasswordResetCodeResponse;
      challenge.resetToken = { value: resetToken, expiresAt: model.now + RESET_TOKEN_TTL };
      model.resetTokens.push({ challenge, token: resetToken });
      return [];
    },
  };
}

/** Whether the address that the code went to is still the account's, all the time, and proven. */
function stillServes(model: Model, { accountId, destination, issuedAt }: Challenge): boolean {
  if (accountId === undefined || destination === undefined) return false;
  const held = accountOf(model, { accountId }).held.get(destination.kind);
  if (held?.value !== destination.value || held.since > issuedAt) return false;
  return held.state === 'verified' || held.state === 'contact';
}

export function resetPassword(
  model: Model,
  input: { challenge: Challenge; token: string; password: string },
): Expected {
  const { challenge, token, password } = input;
  const { resetToken, accountId, destination } = challenge;
  const good = resetToken?.value === token && model.now < resetToken.expiresAt;
  if (!good || !holds(model, challenge) || !stillServes(model, challenge))
    return refused('CODE_EXPIRED');
  const account = accountOf(model, { accountId: accountId ?? '' });
  const told = contactsOf(account);
  challenge.resetToken = undefined;
  const lifted = [...allRowsOf(account.id), ...typedRowsOf(account)];
  model.budgets.lift(lifted);
  account.password = password;
  account.proofEpoch += 1;
  account.sessionEpoch += 1;
  account.claims.clear();
  demoteOthers(model, account, destination?.kind);
  if (!hasWayIn(account) && account.username !== undefined) account.username.enabled = true;
  return { answer: 'OK', told, lifted };
}

/** A channel that came lately may be a thief's. */
function demoteOthers(model: Model, account: Account, proven: Kind | undefined): void {
  for (const [kind, held] of account.held) {
    const lately = held.provenAt > model.now - RECENTLY_PROVEN;
    if (kind === proven || !(lately || held.vouched)) continue;
    if (held.state === 'contact') account.held.delete(kind);
    else if (held.state !== 'disputed') Object.assign(held, { state: 'lapsed', enabled: false });
  }
}

/** What the account signs in by; a claim could be anybody's. */
function typedRowsOf({ username, held }: Account): readonly string[] {
  const values = [...held.values()].filter(({ state }) => state === 'verified');
  return [username, ...values].map((each) =>
    rowKey(`typed ${each?.value}`, 'password', 'anonymous'),
  );
}
