import { rowKey } from './budgets.js';
import { type Expected, refused } from './expected.js';
import {
  type Account,
  accountOf,
  accountSubject,
  type Challenge,
  CLAIM_TTL,
  channelOf,
  contactsOf,
  disputersOf,
  holderOf,
  isRecent,
  type Kind,
  type Model,
  mayAct,
  type Session,
  slotOf,
  wouldHaveWayIn,
} from './model.js';

/** The ways that signed-in calls fail alike. */
function refusal(model: Model, session: Session, recent: boolean): Expected | undefined {
  if (!mayAct(model, session)) return refused('ACCESS_TOKEN_INVALID');
  return recent && !isRecent(model, session) ? refused('REAUTHENTICATION_REQUIRED') : undefined;
}

export function read(model: Model, session: Session): Expected {
  return refusal(model, session, false) ?? { answer: 'OK' };
}

/** Changes what an account gives up, unless that is its last way in. */
function change(
  account: Account,
  signsIn: boolean,
  make: (account: Account) => void,
): Expected | undefined {
  if (signsIn && !wouldHaveWayIn(account, make)) return refused('LAST_SIGN_IN_METHOD');
  make(account);
  return undefined;
}

/** The code that waits on the channel is dead, unless it went to the address that stays. */
function killSlot(model: Model, account: Account, kind: Kind, spared?: string): void {
  const slot: Challenge | undefined = slotOf(model, account.id, channelOf(kind));
  if (slot !== undefined && slot.typed.value !== spared) slot.used = true;
}

export function removeContact(model: Model, session: Session, kind: Kind): Expected {
  const stop = refusal(model, session, false);
  if (stop) return stop;
  const account = accountOf(model, session);
  if (!account.held.has(kind) && !account.claims.has(kind)) return { answer: 'OK' };
  const unproven = refusal(model, session, true);
  if (unproven) return unproven;
  const told = contactsOf(account);
  const last = change(account, account.held.get(kind)?.enabled === true, (each) => {
    each.held.delete(kind);
    each.claims.delete(kind);
  });
  if (last) return last;
  killSlot(model, account, kind);
  return { answer: 'OK', told };
}

export function setPhoneNumber(model: Model, session: Session, number: string): Expected {
  const stop = refusal(model, session, false);
  if (stop) return stop;
  const account = accountOf(model, session);
  const held = account.held.get('phone');
  const claimed = account.claims.get('phone')?.value === number;
  if (held === undefined ? claimed : held.value === number) return { answer: 'OK' };
  const unproven = refusal(model, session, true);
  if (unproven) return unproven;
  const told = contactsOf(account);
  const last = change(account, held?.enabled === true, (each) => {
    each.held.delete('phone');
    each.claims.set('phone', { value: number, expiresAt: model.now + CLAIM_TTL });
  });
  if (last) return last;
  killSlot(model, account, 'phone', number);
  return { answer: 'OK', told };
}

export function setSignInEnabled(
  model: Model,
  session: Session,
  { type, enabled }: { type: Kind | 'username'; enabled: boolean },
): Expected {
  if (!mayAct(model, session)) return refused('ACCESS_TOKEN_INVALID');
  if (enabled && type !== 'username' && model.rules.promote[type] === 'off')
    return refused('FIELD_INVALID');
  const account = accountOf(model, session);
  const own = type === 'username' ? account.username : account.held.get(type);
  const proven =
    own !== undefined && (!('state' in own) || own.state === 'verified' || own.state === 'contact');
  if (!proven) return refused('IDENTIFIER_NOT_VERIFIED');
  if (own.enabled === enabled) return { answer: 'OK' };
  const unproven = refusal(model, session, true);
  if (unproven) return unproven;
  if (enabled && type !== 'username' && isHeldByAnother(model, account, type, own.value))
    return refused('IDENTIFIER_TAKEN');
  const told = contactsOf(account);
  const last = change(account, !enabled, (each) => {
    const switched = type === 'username' ? each.username : each.held.get(type);
    Object.assign(switched ?? {}, { enabled, keptDemoted: !enabled });
    if (switched !== undefined && 'state' in switched) switched.state = 'verified';
  });
  return last ?? { answer: 'OK', told };
}

function isHeldByAnother(model: Model, account: Account, kind: Kind, value: string): boolean {
  const holder = holderOf(model, kind, value);
  if (holder !== undefined) return holder !== account;
  return disputersOf(model, kind, value).some((other) => other !== account);
}

/** Every session but, at a change of the password, the caller's own. */
export function changePassword(
  model: Model,
  session: Session,
  { current, next }: { current: string; next: string },
): Expected {
  const stop = refusal(model, session, false);
  if (stop) return stop;
  const account = accountOf(model, session);
  const row = rowKey(accountSubject(account.id), 'password', 'session');
  if (!model.budgets.chargePassword(model.now, row, true)) return refused('SIGN_IN_LOCKED');
  if (account.password !== current) return refused('CREDENTIALS_INVALID');
  model.budgets.clear(row, true);
  model.budgets.clear(rowKey(accountSubject(account.id), 'password', 'anonymous'), false);
  account.password = next;
  account.proofEpoch += 1;
  account.sessionEpoch += 1;
  session.epoch = account.sessionEpoch;
  return { answer: 'OK', told: contactsOf(account) };
}

export function signOutEverywhere(model: Model, session: Session): Expected {
  const stop = refusal(model, session, false);
  if (stop) return stop;
  accountOf(model, session).sessionEpoch += 1;
  return { answer: 'OK' };
}

export function revokeSession(model: Model, session: Session, other: Session): Expected {
  const stop = refusal(model, session, false);
  if (stop) return stop;
  if (other.accountId === session.accountId) other.ended = true;
  return { answer: 'OK' };
}

export function closeAccount(model: Model, session: Session): Expected {
  const stop = refusal(model, session, true);
  if (stop) return stop;
  const account = accountOf(model, session);
  const told = contactsOf(account);
  account.status = 'closed';
  account.password = undefined;
  account.username = undefined;
  account.proofEpoch += 1;
  account.sessionEpoch += 1;
  account.held.clear();
  account.claims.clear();
  return { answer: 'OK', told };
}

/** A username can be changed where it was generated, and once. */
export function changeUsername(model: Model, session: Session, username: string): Expected {
  const stop = refusal(model, session, false);
  if (stop) return stop;
  const account = accountOf(model, session);
  if (account.username?.generated !== true) return refused('FIELD_INVALID');
  Object.assign(account.username, { value: username, generated: false });
  return { answer: 'OK' };
}
