import { type BudgetPolicy, typedSubject } from '../challenges/index.js';
import type { Call } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import { classifyIdentifier, type IdentifierType } from '../core/contact.js';
import type { Random } from '../core/ids.js';
import type { Db } from '../db/index.js';
import { type ScopeRequest, scopeNotGranted } from '../organizations/index.js';
import {
  isOverloaded,
  type PasswordHash,
  type PasswordHasher,
  type PasswordVerdict,
} from '../passwords/index.js';
import { prepareSession, type SessionDeps, type TokenSet, tokenSet } from '../sessions/index.js';
import { credentialsInvalid, signInLocked } from './errors.js';
import {
  chargePassword,
  openSession,
  type PasswordGuess,
  refundPassword,
  type TypedIdentifier,
} from './sign-in-store.js';

export interface SignInDeps extends SessionDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly random: Random;
  readonly hasher: PasswordHasher;
  readonly budgetSecret: Buffer;
  readonly passwordBudget: BudgetPolicy;
  readonly defaultRegion: string | undefined;
  /** Types that nobody signs in by now: their handles are not known to be one account's. */
  readonly closedHandles: ReadonlySet<IdentifierType>;
}

export interface SignInInput {
  /** As typed: a username, an email or a phone; never refused by its shape. */
  readonly identifier: string;
  /** As `parsePresentedPassword` gives it. */
  readonly password: string;
  readonly scope: ScopeRequest | undefined;
  readonly region: string | undefined;
}

export interface SignedIn {
  readonly accountId: string;
  /** The email or phone, canonical, that it was done with. */
  readonly address: string | undefined;
  readonly tokens: TokenSet;
}

/**
 * Signs in by a verified, enabled identifier and a password.
 *
 * Two PostgreSQL trips, one where the password is wrong. The guess is charged, to the account and to
 * what was typed, and committed before any hash is computed. Every way through computes one Argon2
 * verification in the same lane: of the account's hash, or of a decoy where there is none to compare
 * or the account may not be tried now (rule 9). The trips are never merged across the hash: no
 * transaction waits for it.
 *
 * Atomic in the second trip: the budgets are cleared, the session begins, an outdated hash is replaced.
 *
 * Throws `CREDENTIALS_INVALID`, `SIGN_IN_LOCKED` (from what was typed alone, so that it tells nothing of
 * an account), `SCOPE_NOT_GRANTED` (after the password), `OVERLOADED`.
 */
export async function signIn(deps: SignInDeps, call: Call, input: SignInInput): Promise<SignedIn> {
  const identifier = classifyIdentifier(input.identifier, input.region ?? deps.defaultRegion, {});
  const subject = typedSubject(
    deps.budgetSecret,
    identifier ?? { type: undefined, value: input.identifier },
  );
  const closed = identifier !== undefined && deps.closedHandles.has(identifier.type);
  const handle = closed ? undefined : identifier;
  // What is no identifier stays out of the statement: PostgreSQL would refuse a NUL in it.
  const typed = { ...(handle ?? { type: undefined, value: '' }), subject };
  const guess = await chargePassword(deps, typed);
  const verdict = await judge(deps, call, input.password, typed, guess);
  if (guess.lockedSeconds !== undefined) throw signInLocked(guess.lockedSeconds);
  if (!verdict.matches || guess.account === undefined) throw credentialsInvalid();
  const rehashed = verdict.outdated ? await rehash(deps, call, input.password) : undefined;
  const signedIn = await begin(deps, call, input, { account: guess.account, typed, rehashed });
  const address = typed.type === 'username' ? undefined : typed.value;
  return { ...signedIn, address };
}

/** One verification whatever was found; a guess that the lane sheds all the same is not counted. */
async function judge(
  deps: SignInDeps,
  call: Call,
  password: string,
  typed: TypedIdentifier,
  guess: PasswordGuess,
): Promise<PasswordVerdict> {
  const { typed: open, account: spared } = guess.charged;
  const stored = open && spared ? guess.account?.password : undefined;
  try {
    return await deps.hasher.verify(stored, password, call);
  } catch (error) {
    if (isOverloaded(error)) await refundPassword(deps, typed, guess);
    throw error;
  }
}

/** A new hash for a password that just proved right; the old one does for now while the lane is full. */
async function rehash(
  deps: SignInDeps,
  call: Call,
  password: string,
): Promise<PasswordHash | undefined> {
  try {
    return await deps.hasher.hash(password, call);
  } catch {
    return undefined;
  }
}

async function begin(
  deps: SignInDeps,
  call: Call,
  input: SignInInput,
  proof: {
    account: NonNullable<PasswordGuess['account']>;
    typed: TypedIdentifier;
    rehashed: PasswordHash | undefined;
  },
): Promise<Omit<SignedIn, 'address'>> {
  const session = prepareSession(deps, call, { amr: ['pwd'] });
  // Completed although the caller may have left: the budgets must be cleared for the right password.
  const opened = await openSession(deps, call, { ...proof, session, scope: input.scope });
  if (opened === undefined) throw credentialsInvalid();
  if (opened.grant === undefined) throw scopeNotGranted();
  const { accountId } = proof.account;
  const tokens = await tokenSet(deps, {
    accountId,
    caller: call.caller,
    sessionId: session.sessionId,
    refreshToken: session.refreshToken,
    amr: ['pwd'],
    ...opened.grant,
  });
  return { accountId, tokens };
}
