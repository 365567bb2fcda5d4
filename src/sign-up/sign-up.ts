import { type Account, isAccount, readAccount, usernameTaken } from '../accounts/index.js';
import { newAuditKey } from '../audit/index.js';
import {
  type Challenge,
  type CodeDeps,
  type PreparedCode,
  prepareCode,
  readChallenges,
} from '../challenges/index.js';
import type { Call } from '../core/call.js';
import type { Clock } from '../core/clock.js';
import type { Channel } from '../core/contact.js';
import { type Db, uniqueViolation, untilAborted } from '../db/index.js';
import {
  findIdempotent,
  type IdempotencyDeps,
  type IdempotentRequest,
} from '../idempotency/index.js';
import { prepareSession, type TokenSet, tokenSet } from '../sessions/index.js';
import { type SignInDeps, signIn } from '../sign-in/index.js';
import type { SignUpInput } from './sign-up-input.js';
import { insertSignUp, type NewSignUp } from './sign-up-store.js';

export interface SignUpDeps extends SignInDeps, CodeDeps, IdempotencyDeps {
  readonly db: Db;
  readonly clock: Clock;
}

export interface SignedUp {
  readonly account: Account;
  readonly tokens: TokenSet;
  readonly challenges: readonly Challenge[];
  /** An earlier call with this `request_id` made the account; nothing was sent now. */
  readonly repeated: boolean;
}

/**
 * Makes an account with profile, settings, identifiers, an organization and the Owner role in it, its
 * first session, and a code on its way to each claimed channel.
 *
 * One PostgreSQL trip, and in it one statement: all of it stands or none does. A repeated `request_id`
 * finds the account of the first call by one more trip, and then signs in to it with the password, by
 * all the rules of a sign-in.
 *
 * Throws `USERNAME_TAKEN` (the index decides, so of two who race one wins), `REQUEST_ID_REUSED`,
 * `CREDENTIALS_INVALID` and `SIGN_IN_LOCKED` (repetitions with another password), `OVERLOADED`.
 */
export async function signUp(deps: SignUpDeps, call: Call, input: SignUpInput): Promise<SignedUp> {
  const request = repeatable(call, input);
  const password = await deps.hasher.hash(input.password, call);
  const accountId = deps.random.id();
  const codes = prepareCodes(deps, call, accountId, input);
  const session = prepareSession(deps, call, { amr: ['pwd'] });
  const draft: NewSignUp = {
    ...input,
    accountId,
    passwordHash: password,
    auditKey: newAuditKey(deps.random),
    organizationId: deps.random.id(),
    organizationName: input.organizationName ?? input.username,
    session,
    codes,
    request,
  };
  const done = await insertSignUp(deps, call, draft).catch(async (error: unknown) => {
    if (uniqueViolation(error) === 'identifiers_holder') return undefined;
    throw error;
  });
  if (done === undefined) return repeat(deps, call, input, request);
  deps.outbox.dispatch(
    codes.map((code, index) =>
      done.challenges[index]?.longCode === true ? code.long : code.short,
    ),
  );
  return {
    account: done.account,
    tokens: await firstTokens(deps, call, draft, done.authTime),
    repeated: false,
    challenges: done.challenges.map((challenge, index) => ({
      ...challenge,
      maskedDestination: codes[index]?.maskedDestination ?? '',
    })),
  };
}

function repeatable(call: Call, input: SignUpInput): IdempotentRequest {
  const { username, email, phone, displayName, locale, organizationName } = input;
  return {
    rpc: 'sign_up',
    caller: call.caller,
    requestId: input.requestId,
    body: [
      username,
      email ?? '',
      phone ?? '',
      displayName ?? '',
      locale ?? '',
      organizationName ?? '',
    ],
  };
}

function prepareCodes(
  deps: SignUpDeps,
  call: Call,
  accountId: string,
  input: SignUpInput,
): readonly PreparedCode[] {
  const wanted: readonly [Channel, string | undefined][] = [
    ['email', input.email],
    ['sms', input.phone],
  ];
  return wanted.flatMap(([channel, destination]) =>
    destination === undefined
      ? []
      : [
          prepareCode(deps, {
            accountId,
            channel,
            destination,
            caller: call.caller,
            locale: input.locale ?? call.locale,
          }),
        ],
  );
}

function firstTokens(
  deps: SignUpDeps,
  call: Call,
  draft: NewSignUp,
  authTime: Date,
): Promise<TokenSet> {
  return tokenSet(deps, {
    accountId: draft.accountId,
    sessionId: draft.session.sessionId,
    caller: call.caller,
    authTime,
    amr: draft.session.amr,
    scope: { organizationId: draft.organizationId },
    grants: [{ role: 'owner' }],
    platformRoles: [],
    refreshToken: draft.session.refreshToken,
  });
}

/** The username stands already: by an earlier call with this `request_id`, or it is somebody else's. */
async function repeat(
  deps: SignUpDeps,
  call: Call,
  input: SignUpInput,
  request: IdempotentRequest,
): Promise<SignedUp> {
  const made = await findIdempotent(deps, request);
  if (made === undefined) throw usernameTaken();
  const { username, password } = input;
  const signedIn = await signIn(deps, call, {
    identifier: username,
    password,
    scope: undefined,
    region: undefined,
  });
  const account = await readAccount(untilAborted(call.signal, deps.db), deps.clock, () =>
    isAccount(signedIn.accountId),
  );
  if (account === undefined) throw new Error('an account that just signed in is gone');
  return {
    account,
    repeated: true,
    tokens: signedIn.tokens,
    challenges: await readChallenges(deps, account.accountId),
  };
}
