import { type Budgets, createBudgets, type Lane, rowKey } from './budgets.js';

/**
 * The house as `docs/architecture.md` tells of it, in memory and in its plainest form. Nothing here comes
 * from the product: what both say is the same because both follow the page.
 */
export type Kind = 'email' | 'phone';
export type Purpose = 'verify' | 'sign_in' | 'reset';

export interface Rules {
  readonly collision: 'refuse' | 'contact';
  readonly delivery: 'typed' | 'registered';
  readonly promote: Readonly<Record<Kind, 'automatic' | 'manual' | 'off'>>;
  readonly phoneSignIn: 'on' | 'existing' | 'off';
}

export interface Held {
  value: string;
  state: 'verified' | 'contact' | 'lapsed' | 'disputed';
  enabled: boolean;
  keptDemoted: boolean;
  vouched: boolean;
  provenAt: number;
  /** When it came to the account, this time: codes from before are dead. */
  since: number;
}

export interface Account {
  readonly id: string;
  /** Which of the people acts for it. */
  readonly owner: number;
  status: 'active' | 'blocked' | 'closed';
  username: { value: string; enabled: boolean; generated: boolean } | undefined;
  password: string | undefined;
  proofEpoch: number;
  sessionEpoch: number;
  revision: number;
  readonly held: Map<Kind, Held>;
  readonly claims: Map<Kind, { value: string; expiresAt: number }>;
}

export interface Session {
  readonly id: string;
  readonly accountId: string;
  epoch: number;
  readonly authTime: number;
  accessToken: string;
  accessExpiresAt: number;
  /** Every refresh token of the family, the latest last. */
  readonly refreshTokens: string[];
  rotatedAt: number;
  idleExpiresAt: number;
  readonly expiresAt: number;
  ended: boolean;
  /** Opened only to see whether it opens: no later step acts in it. */
  readonly probe: boolean;
}

export interface Challenge {
  readonly id: string;
  readonly owner: number;
  readonly purpose: Purpose;
  /** What its budgets count by. */
  readonly channel: 'email' | 'sms';
  typed: { type: Kind | 'username'; value: string };
  accountId: string | undefined;
  epoch: number;
  /** Where the code went; undefined: there is no code. */
  destination: { kind: Kind; value: string } | undefined;
  /** Learnt from the message. */
  code: string | undefined;
  readonly oldCodes: string[];
  long: boolean;
  issuedAt: number;
  expiresAt: number;
  resendAt: number;
  used: boolean;
  resetToken: { value: string; expiresAt: number } | undefined;
}

export const CODE_TTL = 5 * 60;
export const COOLDOWN = 60;
export const RECENT = 10 * 60;
export const RESET_TOKEN_TTL = 10 * 60;
const DAY = 86_400;
export const CLAIM_TTL = 7 * DAY;
export const RECENTLY_PROVEN = 30 * DAY;
export const ACCESS_TTL = 3_600;
export const IDLE_TTL = 30 * DAY;
export const SESSION_TTL = 90 * DAY;

export interface Model {
  readonly rules: Rules;
  /** Seconds that were jumped over; steps themselves take next to none. */
  now: number;
  readonly accounts: Map<string, Account>;
  readonly sessions: Session[];
  readonly challenges: Map<string, Challenge>;
  /** Every one that was ever given. */
  readonly resetTokens: { readonly challenge: Challenge; readonly token: string }[];
  readonly budgets: Budgets;
}

export function createModel(rules: Rules): Model {
  return {
    rules,
    now: 1,
    accounts: new Map(),
    sessions: [],
    challenges: new Map(),
    resetTokens: [],
    budgets: createBudgets(),
  };
}

export const channelOf = (kind: Kind): 'email' | 'sms' => (kind === 'phone' ? 'sms' : 'email');

/** Who holds an address against others. */
export function holderOf(model: Model, kind: Kind, value: string): Account | undefined {
  return [...model.accounts.values()].find((account) => {
    const held = account.held.get(kind);
    return held?.value === value && (held.state === 'verified' || held.state === 'lapsed');
  });
}

export function disputersOf(model: Model, kind: Kind, value: string): readonly Account[] {
  return [...model.accounts.values()].filter((account) => {
    const held = account.held.get(kind);
    return held?.value === value && held.state === 'disputed';
  });
}

export function contactsWith(model: Model, kind: Kind, value: string): readonly Account[] {
  return [...model.accounts.values()].filter((account) => {
    const held = account.held.get(kind);
    return held?.value === value && held.state === 'contact';
  });
}

/** Whether some account has the address, however. */
export function isKnown(model: Model, kind: Kind, value: string): boolean {
  return [...model.accounts.values()].some((account) => has(account, kind, value));
}

export function has(account: Account, kind: Kind, value: string): boolean {
  return account.held.get(kind)?.value === value || account.claims.get(kind)?.value === value;
}

/** A password with a verified identifier that signs in, or a verified phone that does. */
export function hasWayIn(account: Account): boolean {
  const signsIn = (kind: Kind) => {
    const held = account.held.get(kind);
    return held?.state === 'verified' && held.enabled;
  };
  if (signsIn('phone')) return true;
  const byPassword = account.username?.enabled === true || signsIn('email');
  return account.password !== undefined && byPassword;
}

/** Whether the account would still have a way in if `change` were made to a copy of it. */
export function wouldHaveWayIn(account: Account, change: (copy: Account) => void): boolean {
  const copy: Account = {
    ...account,
    username: account.username && { ...account.username },
    held: new Map([...account.held].map(([kind, held]) => [kind, { ...held }])),
    claims: new Map(account.claims),
  };
  change(copy);
  return hasWayIn(copy);
}

/** The account that a password signs in to by this identifier. */
export function handleOf(model: Model, identifier: string): Account | undefined {
  return [...model.accounts.values()].find((account) => {
    if (account.status !== 'active') return false;
    if (account.username?.enabled && account.username.value === identifier) return true;
    return [...account.held.values()].some(
      ({ value, state, enabled }) => value === identifier && state === 'verified' && enabled,
    );
  });
}

export function accountOf(model: Model, { accountId }: { accountId: string }): Account {
  const account = model.accounts.get(accountId);
  if (account === undefined) throw new Error('the model lost an account');
  return account;
}

export function isAlive(model: Model, session: Session): boolean {
  const account = accountOf(model, session);
  return (
    account.status === 'active' &&
    !session.ended &&
    session.epoch === account.sessionEpoch &&
    model.now < session.idleExpiresAt &&
    model.now < session.expiresAt
  );
}

/** Whether the session's access token lets its person act. */
export function mayAct(model: Model, session: Session): boolean {
  return isAlive(model, session) && model.now < session.accessExpiresAt;
}

export const isRecent = (model: Model, session: Session): boolean =>
  model.now < session.authTime + RECENT;

export function slotOf(model: Model, accountId: string, channel: string): Challenge | undefined {
  return [...model.challenges.values()].find(
    (challenge) =>
      challenge.purpose === 'verify' &&
      challenge.accountId === accountId &&
      challenge.channel === channel,
  );
}

export const isExpired = (model: Model, challenge: Challenge): boolean =>
  model.now >= challenge.expiresAt;

/** Where the account is told of changes. */
export function contactsOf({ held }: Account): readonly string[] {
  return [...held.values()]
    .filter(({ state }) => state === 'verified' || state === 'contact')
    .map(({ value }) => value);
}

export const accountSubject = (id: string): string => `account ${id}`;
/** Stands in for the account where there is none. */
export const standIn = (typed: Challenge['typed']): string =>
  `stand-in for ${addressSubject(typed)}`;
export const addressSubject = ({ type, value }: Challenge['typed']): string =>
  `address ${type} ${value}`;

/** The two rows that a guess at a challenge is counted in. */
export function rowsOf(challenge: Challenge, lane: Lane): { account: string; address: string } {
  const address = addressSubject(challenge.typed);
  const { accountId } = challenge;
  const whose = accountId === undefined ? standIn(challenge.typed) : accountSubject(accountId);
  return {
    account: rowKey(whose, challenge.channel, lane),
    address: rowKey(address, challenge.channel, lane),
  };
}

/** Whether a code sent now must be a long one, because an ordinary one might not be judged. */
export function needsLongCode(
  { budgets, now }: Model,
  channel: string,
  typed: Challenge['typed'],
  subject: string | undefined,
): boolean {
  const shut = (subject: string, lane: Lane) => budgets.isShut(now, rowKey(subject, channel, lane));
  if (shut(addressSubject(typed), 'session') || shut(addressSubject(typed), 'anonymous'))
    return true;
  if (subject === undefined) return false;
  return shut(subject, 'anonymous') || budgets.isClosed(now, rowKey(subject, channel, 'session'));
}

/** Everything that a recovery lifts, or a stranger could have shut, of one account. */
export function allRowsOf(accountId: string): readonly string[] {
  const channels = ['email', 'sms', 'password'];
  const lanes: readonly Lane[] = ['session', 'anonymous'];
  return channels.flatMap((channel) =>
    lanes.map((lane) => rowKey(accountSubject(accountId), channel, lane)),
  );
}

/** What the service forgets in time. */
export function forget(model: Model): void {
  const { now, accounts, challenges, budgets } = model;
  for (const [id, { expiresAt }] of challenges) if (expiresAt < now - DAY) challenges.delete(id);
  for (const account of accounts.values()) {
    for (const [kind, { expiresAt }] of account.claims) {
      const slot = slotOf(model, account.id, channelOf(kind));
      const hasLiveCode = slot !== undefined && !slot.used && now < slot.expiresAt;
      if (expiresAt < now && !hasLiveCode) account.claims.delete(kind);
    }
  }
  budgets.forget(now);
}
