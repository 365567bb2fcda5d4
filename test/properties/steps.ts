import fc from 'fast-check';

/** Everything that may happen, and how often it is tried beside the others. */
const WEIGHTS = {
  signUp: 2,
  signIn: 9,
  requestPhoneSignIn: 6,
  completePhoneSignIn: 7,
  refreshSession: 4,
  signOut: 1,
  signOutEverywhere: 1,
  listSessions: 1,
  revokeSession: 1,
  getAccount: 1,
  updateProfile: 1,
  updateSettings: 1,
  closeAccount: 1,
  changePassword: 2,
  sendEmailVerificationCode: 4,
  sendPhoneVerificationCode: 4,
  confirmEmail: 7,
  confirmPhoneNumber: 7,
  resendEmailConfirmation: 3,
  setPhoneNumber: 2,
  removePhoneNumber: 2,
  removeEmail: 2,
  setSignInEnabled: 5,
  requestPasswordReset: 6,
  verifyPasswordResetCode: 8,
  resetPassword: 8,
  introspectToken: 1,
  getJsonWebKeySet: 1,
  block: 1,
  unblock: 2,
  lapse: 2,
  vouch: 2,
  wear: 1,
  jump: 9,
} as const;

export type StepName = keyof typeof WEIGHTS;

/**
 * One thing that happens. The numbers choose among what there is when its turn comes, so that a sequence
 * still means something when others are taken out of it.
 */
export interface Step {
  readonly name: StepName;
  readonly who: number;
  readonly pick: number;
  readonly on: number;
  readonly how: number;
}

const anyName = fc.oneof(
  ...(Object.keys(WEIGHTS) as StepName[]).map((name) => ({
    weight: WEIGHTS[name],
    arbitrary: fc.constant(name),
  })),
);

const step = (name: fc.Arbitrary<StepName>, how: fc.Arbitrary<number>): fc.Arbitrary<Step> =>
  fc.record({
    name,
    who: fc.nat({ max: 2 }),
    pick: fc.nat({ max: 11 }),
    on: fc.nat({ max: 5 }),
    how,
  });
const whatever = step(anyName, fc.nat({ max: 9 }));
/** What kills codes and sessions, or ought to. */
const meddling = step(
  fc.constantFrom<StepName>(
    'block',
    'lapse',
    'vouch',
    'changePassword',
    'setSignInEnabled',
    'setPhoneNumber',
    'removePhoneNumber',
    'removeEmail',
    'closeAccount',
    'resetPassword',
    'completePhoneSignIn',
    'jump',
  ),
  fc.nat({ max: 5 }),
);
const meanwhile = fc.oneof(whatever, meddling);

const isGuessing = (name: string): name is `${StepName}, guessing` => name.endsWith(', guessing');
/** Seven of them: more than are judged. */
const WRONG_CODES = { pick: 6, on: 0, how: 4 };
const WRONG_PASSWORDS = { pick: 6, on: 0, how: 8 };

/** What somebody sets out to do, mostly as they should; `undefined` is whatever else happens meanwhile. */
function scene(
  ...names: readonly (StepName | `${StepName}, guessing` | undefined)[]
): fc.Arbitrary<readonly Step[]> {
  const mostlyRight = fc.oneof(
    { weight: 6, arbitrary: fc.nat({ max: 3 }) },
    { weight: 1, arbitrary: fc.nat({ max: 9 }) },
  );
  const steps = names.map((name) => {
    if (name === undefined) return meanwhile;
    if (!isGuessing(name)) return step(fc.constant(name), mostlyRight);
    const [which] = name.split(',') as [StepName];
    return fc.constant({
      name: which,
      who: 0,
      ...(which === 'signIn' ? WRONG_PASSWORDS : WRONG_CODES),
    });
  });
  return fc.tuple(fc.nat({ max: 2 }), fc.tuple(...steps)).map(([who, sequence]) =>
    // Who happens along is as often the same person.
    sequence.map((each, index) =>
      names[index] === undefined && each.pick % 2 === 1 ? each : { ...each, who },
    ),
  );
}

const RESET = ['requestPasswordReset', 'verifyPasswordResetCode', 'resetPassword'] as const;
/** The person under attack asks once more. */
const guessed = (asks: StepName, completes: StepName) =>
  [asks, `${completes}, guessing`, 'jump', asks, completes] as const;
const BY_PHONE = ['requestPhoneSignIn', 'completePhoneSignIn'] as const;
const CLAIM_DROPPED = [
  'sendEmailVerificationCode',
  'removeEmail',
  'jump',
  'resendEmailConfirmation',
] as const;
const NEW_EMAIL = ['sendEmailVerificationCode', 'confirmEmail'] as const;
const NEW_PHONE = ['sendPhoneVerificationCode', 'confirmPhoneNumber'] as const;

const scenes = fc.oneof(
  { weight: 14, arbitrary: fc.tuple(whatever) },
  { weight: 5, arbitrary: fc.tuple(meddling) },
  { weight: 4, arbitrary: scene('jump') },
  { weight: 2, arbitrary: scene('signUp', 'confirmEmail', 'confirmPhoneNumber') },
  { weight: 3, arbitrary: scene(...BY_PHONE) },
  { weight: 3, arbitrary: scene('requestPhoneSignIn', undefined, 'completePhoneSignIn') },
  { weight: 2, arbitrary: scene('signIn', ...NEW_EMAIL) },
  { weight: 2, arbitrary: scene('signIn', ...NEW_PHONE) },
  { weight: 2, arbitrary: scene('sendEmailVerificationCode', undefined, 'confirmEmail') },
  { weight: 2, arbitrary: scene('sendPhoneVerificationCode', undefined, 'confirmPhoneNumber') },
  { weight: 2, arbitrary: scene('resendEmailConfirmation', undefined, 'confirmEmail') },
  { weight: 3, arbitrary: scene(...RESET) },
  { weight: 2, arbitrary: scene('requestPasswordReset', undefined, 'verifyPasswordResetCode') },
  { weight: 2, arbitrary: scene(...RESET.slice(0, 2), undefined, 'resetPassword') },
  // The address that a code went to lapses, is given up, or gives way to another, before the code is used.
  { weight: 1, arbitrary: scene('requestPasswordReset', 'lapse', 'verifyPasswordResetCode') },
  { weight: 1, arbitrary: scene(...RESET.slice(0, 2), 'lapse', 'resetPassword') },
  {
    weight: 2,
    arbitrary: scene('jump', 'signIn', 'requestPhoneSignIn', ...NEW_PHONE, 'completePhoneSignIn'),
  },
  {
    weight: 2,
    arbitrary: scene('jump', 'signIn', 'requestPasswordReset', ...NEW_PHONE, ...RESET.slice(1)),
  },
  {
    weight: 2,
    arbitrary: scene('jump', 'signIn', ...RESET.slice(0, 2), ...NEW_EMAIL, 'resetPassword'),
  },
  { weight: 1, arbitrary: scene('requestPhoneSignIn', 'setSignInEnabled', 'completePhoneSignIn') },
  { weight: 2, arbitrary: scene('jump', 'signIn', ...CLAIM_DROPPED, 'confirmEmail') },
  { weight: 2, arbitrary: scene('requestPhoneSignIn', 'vouch', 'completePhoneSignIn') },
  { weight: 2, arbitrary: scene('requestPasswordReset', 'vouch', ...RESET.slice(1)) },
  { weight: 2, arbitrary: scene(...RESET.slice(0, 2), 'vouch', 'resetPassword') },
  { weight: 2, arbitrary: scene('refreshSession', 'refreshSession', 'jump', 'refreshSession') },
  // Budgets are used up, and what opens them again.
  { weight: 1, arbitrary: scene('signIn, guessing', ...RESET, 'signIn') },
  { weight: 1, arbitrary: scene('signIn, guessing', ...BY_PHONE, 'signIn') },
  { weight: 1, arbitrary: scene(...guessed(...BY_PHONE)) },
  { weight: 1, arbitrary: scene(...guessed('requestPasswordReset', 'verifyPasswordResetCode')) },
  { weight: 1, arbitrary: scene(...guessed('sendPhoneVerificationCode', 'confirmPhoneNumber')) },
  { weight: 1, arbitrary: scene(...guessed('resendEmailConfirmation', 'confirmEmail')) },
  { weight: 1, arbitrary: scene(...BY_PHONE, 'wear', ...BY_PHONE, ...guessed(...BY_PHONE)) },
  // An operator's word, and a code.
  { weight: 2, arbitrary: scene('vouch', 'signUp', 'confirmEmail', 'confirmPhoneNumber') },
  // The ways in of an account are given up one after the other.
  { weight: 2, arbitrary: scene(...BY_PHONE, 'removePhoneNumber') },
  { weight: 2, arbitrary: scene('signIn', 'setSignInEnabled', 'setSignInEnabled', ...RESET) },
  { weight: 2, arbitrary: scene('signIn', 'setSignInEnabled', undefined) },
  { weight: 1, arbitrary: scene('signIn', 'removePhoneNumber') },
  { weight: 1, arbitrary: scene('signIn', 'removeEmail') },
  { weight: 1, arbitrary: scene('signIn', 'setPhoneNumber', undefined) },
);

export const sequences = (maxScenes: number): fc.Arbitrary<readonly (readonly Step[])[]> =>
  fc.array(scenes, { minLength: 1, maxLength: maxScenes, size: 'max' });

/** How the three came here: what each begins with, before anything is chosen. */
export const beginnings = fc.tuple(...[0, 1, 2].map(() => fc.nat({ max: 5 })));

const at = (who: number, name: StepName, parts: Partial<Step> = {}): Step => ({
  name,
  who,
  pick: 0,
  on: 0,
  how: 0,
  ...parts,
});

export function beginningOf(who: number, kind: number): readonly Step[] {
  const signUp = (on: number) => at(who, 'signUp', { on });
  const proven = [at(who, 'confirmEmail'), at(who, 'confirmPhoneNumber')];
  return [
    [],
    [signUp(0)],
    [signUp(3)],
    [signUp(3), ...proven],
    [signUp(4), ...proven],
    [at(who, 'requestPhoneSignIn'), at(who, 'completePhoneSignIn')],
  ][kind] as readonly Step[];
}
