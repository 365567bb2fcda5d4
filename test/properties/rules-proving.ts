import type { Lane } from './budgets.js';
import { rowKey } from './budgets.js';
import {
  beginChallenge,
  type Expected,
  issueCode,
  refused,
  requestFlow,
  rotateChallenge,
  typedAs,
} from './expected.js';
import { type Guessed, guessAt } from './guessing.js';
import {
  type Account,
  accountOf,
  accountSubject,
  type Challenge,
  CLAIM_TTL,
  channelOf,
  contactsOf,
  disputersOf,
  has,
  holderOf,
  isKnown,
  isRecent,
  type Kind,
  type Model,
  mayAct,
  type Session,
  slotOf,
} from './model.js';

type Sent = { challenge?: { challengeId: string } | undefined };

/** The address that a bare request means. */
function waitingOn(account: Account, kind: Kind): string | undefined {
  return account.claims.get(kind)?.value ?? account.held.get(kind)?.value;
}

export function sendCode(
  model: Model,
  { session, kind, value }: { session: Session; kind: Kind; value: string | undefined },
): Expected<Sent> {
  if (!mayAct(model, session)) return refused('ACCESS_TOKEN_INVALID');
  const account = accountOf(model, session);
  const address = value ?? waitingOn(account, kind);
  if (address === undefined) return refused('FIELD_INVALID');
  if (!has(account, kind, address) && !isRecent(model, session))
    return refused('REAUTHENTICATION_REQUIRED');
  const channel = channelOf(kind);
  const own = rowKey(accountSubject(account.id), channel, 'session');
  const { budgets, now } = model;
  if (budgets.isLocked(now, own) && !budgets.isClosed(now, own))
    return refused('VERIFICATION_LOCKED');
  const slot = slotOf(model, account.id, channel);
  if (slot !== undefined && now < slot.resendAt) return refused('RESEND_TOO_SOON');
  if (account.claims.get(kind)?.value !== address) account.claims.delete(kind);
  if (account.held.get(kind)?.value !== address)
    account.claims.set(kind, { value: address, expiresAt: now + CLAIM_TTL });
  return {
    answer: 'OK',
    learn(response) {
      const id = response.challenge?.challengeId ?? '';
      // Its handle dies with the account's codes, or who learnt it before would hold the next ones too.
      const standing = slot?.epoch === account.proofEpoch ? slot : undefined;
      if (slot !== undefined && (slot.id === id) !== (slot === standing))
        throw new Error(standing === undefined ? 'a dead handle lives' : 'the slot has another id');
      if (slot !== undefined && standing === undefined) model.challenges.delete(slot.id);
      const parts = typedAs(kind, address, 'verify', account.owner);
      const challenge = standing ?? beginChallenge(model, id, { ...parts, accountId: account.id });
      rotateChallenge(model, challenge);
      challenge.typed = parts.typed;
      return issueCode(model, challenge, { accountId: account.id, kind, value: address });
    },
  };
}

export function confirm(
  model: Model,
  input: {
    kind: Kind;
    challenge: Challenge | undefined;
    session: Session | undefined;
    code: string;
  },
): Guessed {
  const { kind, session, code } = input;
  const nothing = { right: false, redeem: () => {} };
  if (session !== undefined && !mayAct(model, session))
    return { ...nothing, answer: 'ACCESS_TOKEN_INVALID' };
  const channel = channelOf(kind);
  const shown = input.challenge ?? (session && slotOf(model, session.accountId, channel));
  const foreign = session !== undefined && shown?.accountId !== session.accountId;
  const fits = shown?.purpose === 'verify' && shown.channel === channel && !foreign;
  const lane: Lane = session === undefined ? 'anonymous' : 'session';
  const guess = guessAt(model, fits ? shown : undefined, { code, lane, whileHolds: true });
  if (guess.answer !== 'OK' || shown?.accountId === undefined) return guess;
  guess.redeem();
  const account = accountOf(model, { accountId: shown.accountId });
  const before = contactsOf(account);
  const value = shown.destination?.value ?? '';
  const answer = prove(model, account, kind, value) ? 'OK' : 'IDENTIFIER_TAKEN';
  return { ...guess, answer, told: before };
}

/** False: another account has it. */
export function prove(model: Model, account: Account, kind: Kind, value: string): boolean {
  const before = account.held.get(kind);
  const holder = holderOf(model, kind, value);
  const rival = holder === account ? undefined : holder;
  const vouched = rival?.held.get(kind)?.vouched ? rival : undefined;
  if (vouched !== undefined)
    Object.assign(vouched.held.get(kind) ?? {}, { state: 'disputed', enabled: false });
  const disputed =
    holder !== account && disputersOf(model, kind, value).some((other) => other !== account);
  const collides = vouched === undefined && (rival !== undefined || disputed);
  account.claims.delete(kind);
  const kept = before !== undefined && before.state !== 'contact';
  if (collides && (model.rules.collision === 'refuse' || kept)) return false;
  const promotes = model.rules.promote[kind] === 'automatic' && before?.keptDemoted !== true;
  account.held.set(kind, {
    value,
    state: collides ? 'contact' : 'verified',
    enabled: !collides && (before?.enabled === true || promotes),
    keptDemoted: before?.keptDemoted ?? false,
    vouched: false,
    provenAt: model.now,
    since: before?.value === value ? before.since : model.now,
  });
  if (!collides) dropRivals(model, account, kind, value);
  return true;
}

/** When an address is proven, every rival claim to it falls. */
export function dropRivals(model: Model, winner: Account, kind: Kind, value: string): void {
  for (const rival of model.accounts.values()) {
    if (rival !== winner && rival.claims.get(kind)?.value === value) rival.claims.delete(kind);
  }
}

export function resendConfirmation(
  model: Model,
  { owner, email, again }: { owner: number; email: string; again: Challenge | undefined },
): Expected<Sent> {
  const resolve = (challenge: Challenge) => {
    const { accountId } = challenge;
    const account = accountId === undefined ? undefined : accountOf(model, { accountId });
    if (account?.status !== 'active' || account.proofEpoch !== challenge.epoch) return [];
    const held = account.held.get('email');
    const lapsed = held?.value === email && held.state === 'lapsed';
    if (account.claims.get('email')?.value !== email && !lapsed) return [];
    return issueCode(model, challenge, { accountId: account.id, kind: 'email', value: email });
  };
  const told = isKnown(model, 'email', email) ? [email] : [];
  return {
    ...requestFlow(model, { ...typedAs('email', email, 'verify', owner), again, resolve }),
    told,
  };
}
