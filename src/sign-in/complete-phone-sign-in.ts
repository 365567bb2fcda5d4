import { type CodeDeps, codeExpired, judgeFlow } from '../challenges/index.js';
import type { Call } from '../core/call.js';
import { type ScopeRequest, scopeNotGranted } from '../organizations/index.js';
import { prepareSession, type TokenSet, tokenSet } from '../sessions/index.js';
import { createByPhone } from './create-by-phone.js';
import { credentialsInvalid } from './errors.js';
import type { PhoneSignInMode } from './phone-sign-in-mode.js';
import {
  type OpenedByPhone,
  type PhoneProof,
  type PhoneSignInStoreDeps,
  refundGuess,
  signInToHolder,
} from './phone-sign-in-store.js';

export interface CompletePhoneSignInDeps extends PhoneSignInStoreDeps, CodeDeps {
  readonly phoneSignIn: PhoneSignInMode;
}

export interface CompletePhoneSignInInput {
  readonly challengeId: string;
  /** Digits of a possible length (`parseCode`). */
  readonly code: string;
  readonly scope: ScopeRequest | undefined;
}

export interface SignedInByPhone {
  readonly accountId: string;
  /** Canonical. */
  readonly phone: string;
  readonly isFirstSignIn: boolean;
  readonly tokens: TokenSet;
}

const AMR = ['otp', 'sms'];

/**
 * Signs in by the code that went to a number: to the account that holds it, or to a new one where it is
 * nobody's (docs/architecture.md, "Phone sign-in"). What the number is, is decided again here.
 *
 * Two PostgreSQL trips, one for a wrong code: the guess is counted and committed before it is judged. More
 * where the number was nobody's at the sending and is somebody's now, or the scope is not granted: three.
 *
 * Atomic in the last: the code is used up, the budgets are cleared, the password's lock is lifted, and the
 * session begins; a lapsed number is proven again; or a whole account comes to be, with its profile, settings,
 * username, number, organization and Owner role, and rival claims fall. A number that does not sign in uses its
 * code up and is told so by a note.
 *
 * Throws, in this precedence: `CODE_EXPIRED`, `VERIFICATION_LOCKED`, `CODE_ATTEMPTS_EXHAUSTED`, `CODE_INVALID`;
 * then, to whoever has the code, `CREDENTIALS_INVALID`, `SCOPE_NOT_GRANTED` (nothing is used up), `CODE_EXPIRED`.
 */
export async function completePhoneSignIn(
  deps: CompletePhoneSignInDeps,
  call: Call,
  input: CompletePhoneSignInInput,
): Promise<SignedInByPhone> {
  const flow = { challengeId: input.challengeId, purpose: 'sign_in', channel: 'sms' } as const;
  const { target, guess, destination: phone } = await judgeFlow(deps, call, flow, input.code);
  // A code from before it was switched off.
  if (deps.phoneSignIn === 'off') throw credentialsInvalid();
  const session = prepareSession(deps, call, { amr: AMR });
  const proof: PhoneProof = { target, guess, phone, session, scope: input.scope };
  const opened = await open(deps, call, proof);
  const tokens = await tokenSet(deps, {
    accountId: opened.accountId,
    caller: call.caller,
    sessionId: session.sessionId,
    refreshToken: session.refreshToken,
    amr: AMR,
    authTime: opened.authTime,
    ...opened.grant,
  });
  return { accountId: opened.accountId, phone, isFirstSignIn: opened.isFirst, tokens };
}

interface Opened extends OpenedByPhone {
  readonly isFirst: boolean;
}

async function open(deps: CompletePhoneSignInDeps, call: Call, proof: PhoneProof): Promise<Opened> {
  // In an organization that is named nobody has a role who does not exist yet.
  const mayCreate = deps.phoneSignIn === 'on' && proof.scope === undefined;
  if (proof.guess.accountId === undefined && mayCreate) {
    const created = await createByPhone(deps, call, proof);
    if (created !== 'held') return { ...created, isFirst: true };
  }
  const outcome = await signInToHolder(deps, call, proof);
  if (typeof outcome === 'object') return { ...outcome, isFirst: false };
  switch (outcome) {
    case 'refused':
      throw credentialsInvalid();
    case 'scope':
      await refundGuess(deps, proof);
      throw scopeNotGranted();
    case 'dead':
      throw codeExpired();
    case 'nobody':
      return nobodys(deps, proof);
  }
}

/** The number is nobody's, and no account comes of it: it may not here, or the one that had it is gone. */
async function nobodys(deps: CompletePhoneSignInDeps, proof: PhoneProof): Promise<never> {
  if (proof.guess.accountId !== undefined) throw codeExpired();
  if (deps.phoneSignIn === 'existing') throw credentialsInvalid();
  if (proof.scope === undefined) throw codeExpired();
  await refundGuess(deps, proof);
  throw scopeNotGranted();
}
