import type {
  CompletePhoneSignInResponse,
  RefreshSessionResponse,
  SignInResponse,
  SignUpResponse,
} from '../../generated/countersign/v1/auth_service.js';
import { rowKey } from './budgets.js';
import {
  beginChallenge,
  type Expected,
  issueCode,
  openSession,
  refused,
  requestFlow,
  typedAs,
} from './expected.js';
import { guessAt } from './guessing.js';
import {
  ACCESS_TTL,
  type Account,
  accountSubject,
  type Challenge,
  CLAIM_TTL,
  disputersOf,
  handleOf,
  hasWayIn,
  holderOf,
  IDLE_TTL,
  isAlive,
  type Kind,
  type Model,
  type Session,
} from './model.js';
import { dropRivals } from './rules-proving.js';

export interface Newcomer {
  readonly owner: number;
  readonly username: string;
  readonly password: string;
  readonly email?: string | undefined;
  readonly phoneNumber?: string | undefined;
}

export function signUp(model: Model, newcomer: Newcomer): Expected<SignUpResponse> {
  const { owner, username, password, email, phoneNumber } = newcomer;
  return {
    answer: 'OK',
    learn(response) {
      const account = addAccount(model, response.account?.accountId ?? '', owner, {
        username: { value: username, enabled: true, generated: false },
        password,
      });
      openSession(model, account.id, response.tokens);
      const addresses: readonly [Kind, string | undefined][] = [
        ['email', email],
        ['phone', phoneNumber],
      ];
      const ids = response.challenges.map(({ challengeId }) => challengeId);
      return addresses.flatMap(([kind, value]) => {
        if (value === undefined) return [];
        account.claims.set(kind, { value, expiresAt: model.now + CLAIM_TTL });
        const parts = typedAs(kind, value, 'verify', owner);
        const slot = beginChallenge(model, ids.shift() ?? '', { ...parts, accountId: account.id });
        return issueCode(model, slot, { accountId: account.id, kind, value, atSignUp: true });
      });
    },
  };
}

function addAccount(
  model: Model,
  id: string,
  owner: number,
  parts: Pick<Account, 'username' | 'password'>,
): Account {
  const account: Account = {
    ...parts,
    id,
    owner,
    status: 'active',
    proofEpoch: 0,
    sessionEpoch: 0,
    revision: 1,
    held: new Map(),
    claims: new Map(),
  };
  model.accounts.set(id, account);
  return account;
}

/** Counted by what was typed, known or not, and by the account. */
export function signIn(
  model: Model,
  { identifier, password }: { identifier: string; password: string },
  probe = false,
): Expected<SignInResponse> {
  const { budgets, now } = model;
  const account = handleOf(model, identifier);
  const typed = rowKey(`typed ${identifier}`, 'password', 'anonymous');
  if (budgets.isLocked(now, typed)) return refused('SIGN_IN_LOCKED');
  budgets.chargePassword(now, typed, false);
  if (account === undefined) return refused('CREDENTIALS_INVALID');
  const own = rowKey(accountSubject(account.id), 'password', 'anonymous');
  const hasChannel = [...account.held.values()].some(({ state }) => state === 'verified');
  const spared = budgets.chargePassword(now, own, hasChannel);
  if (!spared || account.password !== password) return refused('CREDENTIALS_INVALID');
  budgets.clear(typed, true);
  budgets.clear(own, true);
  return {
    answer: 'OK',
    learn(response) {
      if (response.accountId !== account.id) throw new Error('signed in to another account');
      openSession(model, account.id, response.tokens, probe);
      return [];
    },
  };
}

export function refreshSession(
  model: Model,
  session: Session,
  token: string,
): Expected<RefreshSessionResponse> {
  const place = session.refreshTokens.length - 1 - session.refreshTokens.indexOf(token);
  if (!isAlive(model, session)) return refused('REFRESH_TOKEN_INVALID');
  const retries = place === 1 && model.now < session.rotatedAt + 30;
  if (place > 0 && !retries) {
    session.ended = true;
    return refused('REFRESH_TOKEN_INVALID');
  }
  return {
    answer: 'OK',
    learn(response) {
      const { accessToken = '', refreshToken = '' } = response.tokens ?? {};
      session.accessToken = accessToken;
      session.accessExpiresAt = model.now + ACCESS_TTL;
      if (retries) {
        if (refreshToken !== session.refreshTokens.at(-1)) throw new Error('another successor');
        return [];
      }
      session.refreshTokens.push(refreshToken);
      session.rotatedAt = model.now;
      session.idleExpiresAt = Math.min(model.now + IDLE_TTL, session.expiresAt);
      return [];
    },
  };
}

/** Who a number stands for: its holder, else the first of those who dispute it. */
function accountOfPhone(model: Model, number: string): Account | undefined {
  return holderOf(model, 'phone', number) ?? disputersOf(model, 'phone', number)[0];
}

/** Whether the account's number signs in by a code; a lapsed one does where nothing else would. */
function phoneSignsIn(account: Account): boolean {
  const held = account.held.get('phone');
  if (account.status !== 'active' || held === undefined) return false;
  if (held.state === 'verified') return held.enabled;
  return held.state === 'lapsed' && !held.keptDemoted && !hasWayIn(account);
}

export function requestPhoneSignIn(
  model: Model,
  { owner, number, again }: { owner: number; number: string; again: Challenge | undefined },
): Expected<{ challenge?: { challengeId: string } | undefined }> {
  const { phoneSignIn } = model.rules;
  const account = accountOfPhone(model, number);
  const signsIn = account !== undefined && phoneSignsIn(account);
  const due = signsIn || (account === undefined && phoneSignIn === 'on');
  const resolve = (challenge: Challenge) =>
    due && phoneSignIn !== 'off'
      ? issueCode(model, challenge, { accountId: account?.id, kind: 'phone', value: number })
      : [];
  const flow = requestFlow(model, {
    ...typedAs('phone', number, 'sign_in', owner),
    again,
    resolve,
  });
  return { ...flow, told: account !== undefined && !signsIn ? [number] : [] };
}

export function completePhoneSignIn(
  model: Model,
  { challenge, code }: { challenge: Challenge; code: string },
): Expected<CompletePhoneSignInResponse> {
  const fits = challenge.purpose === 'sign_in' ? challenge : undefined;
  const guess = guessAt(model, fits, { code, lane: 'anonymous', whileHolds: false });
  if (guess.answer !== 'OK') return guess;
  const number = challenge.typed.value;
  const bound = challenge.accountId;
  const account = bound === undefined ? accountOfPhone(model, number) : model.accounts.get(bound);
  if (account === undefined) {
    if (model.rules.phoneSignIn !== 'on') return { ...guess, answer: 'CREDENTIALS_INVALID' };
    guess.redeem();
    return { ...guess, ...beBorn(model, challenge) };
  }
  if (!isStillTheirs(account, challenge)) return { ...guess, answer: 'CODE_EXPIRED' };
  const row = rowKey(accountSubject(account.id), 'sms', 'anonymous');
  const stands =
    bound === undefined
      ? challenge.long || !model.budgets.isShut(model.now, row)
      : challenge.epoch === account.proofEpoch;
  const signsIn = phoneSignsIn(account);
  if (stands) {
    guess.redeem();
    model.budgets.clear(row, false);
  }
  if (!signsIn) return { ...guess, answer: 'CREDENTIALS_INVALID', told: [number] };
  if (!stands) return { ...guess, answer: 'CODE_EXPIRED' };
  proveAgain(model, account, number);
  model.budgets.lift([rowKey(accountSubject(account.id), 'password', 'anonymous')]);
  return { ...guess, ...enter(model, account) };
}

/** A code for the account is of no use for a number that it has lost, or has been given anew. */
function isStillTheirs(account: Account, { accountId, typed, issuedAt }: Challenge): boolean {
  const held = account.held.get('phone');
  if (held?.value !== typed.value) return false;
  return accountId === undefined || held.since <= issuedAt;
}

/** A lapsed number is proven by the code that signs in. */
function proveAgain(model: Model, account: Account, number: string): void {
  const held = account.held.get('phone');
  if (held?.state !== 'lapsed') return;
  Object.assign(held, { state: 'verified', enabled: true, vouched: false, provenAt: model.now });
  dropRivals(model, account, 'phone', number);
}

function enter(
  model: Model,
  account: Account,
): Pick<Expected<CompletePhoneSignInResponse>, 'answer' | 'learn'> {
  return {
    answer: 'OK',
    learn({ isFirstSignIn, accountId, tokens }) {
      if (isFirstSignIn) throw new Error('a known number was a first sign-in');
      if (accountId !== account.id) throw new Error('signed in to another account than the holder');
      openSession(model, account.id, tokens);
      return [];
    },
  };
}

function beBorn(
  model: Model,
  { owner, typed }: Challenge,
): Pick<Expected<CompletePhoneSignInResponse>, 'answer' | 'learn'> {
  return {
    answer: 'OK',
    learn({ isFirstSignIn, accountId, tokens }) {
      if (!isFirstSignIn) throw new Error('a new number was no first sign-in');
      bornByPhone(model, accountId, owner, typed.value);
      openSession(model, accountId, tokens);
      return [];
    },
  };
}

function bornByPhone(model: Model, id: string, owner: number, number: string): Account {
  const account = addAccount(model, id, owner, { username: undefined, password: undefined });
  account.held.set('phone', {
    value: number,
    state: 'verified',
    enabled: true,
    keptDemoted: false,
    vouched: false,
    provenAt: model.now,
    since: model.now,
  });
  dropRivals(model, account, 'phone', number);
  return account;
}
