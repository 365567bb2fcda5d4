import type { Lane } from '../../src/challenges/index.js';
import { codeFor, delivered, present } from '../accounts/house.js';
import { outcomeOf } from '../support/outcome.js';
import { PASSWORD, unique } from '../support/people.js';
import type { Laboratory } from './laboratory.js';

/** Where the attacker types digits. */
export interface Flow {
  readonly lane: Lane;
  /** Where the right ones went. */
  readonly destination: string;
  guess(code: string): Promise<unknown>;
  /** Asks for another code in the same flow. */
  again(): Promise<unknown>;
}

/** A kind of attempt; what it begins may be several flows. */
export type Way = (lab: Laboratory) => Promise<readonly Flow[]>;

/** By the code that signs in to a number. */
export const phoneSignIn: Way = async (lab) => {
  const [auth, phoneNumber] = [lab.caller(), lab.owner.phone];
  const ask = (challengeId?: string) =>
    auth.requestPhoneSignIn({ phoneNumber, challengeId }, lab.source());
  const { challengeId } = present((await ask()).challenge);
  return [
    {
      lane: 'anonymous',
      destination: phoneNumber,
      guess: (code) => auth.completePhoneSignIn({ challengeId, code }, lab.source()),
      again: () => ask(challengeId),
    },
  ];
};

/** By the code that resets the password. */
export const reset =
  (
    by: 'username' | 'email' | 'phone',
    to: 'email' | 'phone' = by === 'email' ? by : 'phone',
  ): Way =>
  async (lab) => {
    const [auth, identifier] = [lab.caller(), lab.owner[by]];
    const ask = (challengeId?: string) =>
      auth.requestPasswordReset({ identifier, challengeId }, lab.source());
    const { challengeId } = present((await ask()).challenge);
    return [
      {
        lane: 'anonymous',
        destination: lab.owner[to],
        guess: (code) => auth.verifyPasswordResetCode({ challengeId, code }, lab.source()),
        again: () => ask(challengeId),
      },
    ];
  };

/**
 * By an account of the attacker's own that claims the owner's email and phone, and is thrown away
 * afterwards: guesses with its session, and with the handles of its claims alone.
 */
export const claims: Way = async (lab) => {
  const { email, phone } = lab.owner;
  const [auth, username] = [lab.caller(), unique.username()];
  const { challenges, tokens } = await auth.signUp(
    { username, password: PASSWORD, email, phoneNumber: phone },
    lab.source(),
  );
  const session = () => ({ ...lab.source(), accessToken: tokens?.accessToken });
  const handles = challenges.map(({ challengeId }) => challengeId);
  const [emailId = '', phoneId = ''] = handles;
  const resendEmail = () =>
    auth.resendEmailConfirmation({ email, challengeId: emailId }, lab.source());
  const resendPhone = () => auth.sendPhoneVerificationCode({}, session());
  return [
    {
      lane: 'session',
      destination: email,
      guess: (code) => auth.confirmEmail({ code }, session()),
      again: resendEmail,
    },
    {
      lane: 'anonymous',
      destination: email,
      guess: (code) => auth.confirmEmail({ challengeId: emailId, code }, lab.source()),
      again: resendEmail,
    },
    {
      lane: 'session',
      destination: phone,
      guess: (code) => auth.confirmPhoneNumber({ code }, session()),
      again: resendPhone,
    },
    {
      lane: 'anonymous',
      destination: phone,
      guess: (code) => auth.confirmPhoneNumber({ challengeId: phoneId, code }, lab.source()),
      again: resendPhone,
    },
  ];
};

/**
 * By an account that proves a phone and an email of the attacker's own first, and signs in by that phone, so
 * that what counts against the account itself is cleared; then it asks to change to the owner's.
 */
export const claimsAfterProofs: Way = async (lab) => {
  const { app } = lab;
  const [auth, email, phoneNumber] = [lab.caller(), unique.email(), unique.phone()];
  const { tokens } = await auth.signUp(
    { username: unique.username(), password: PASSWORD, email, phoneNumber },
    lab.source(),
  );
  const session = () => ({ ...lab.source(), accessToken: tokens?.accessToken });
  await lab.uncounted(async () => {
    await auth.confirmEmail({ code: await codeFor(app, email) }, session());
    await auth.confirmPhoneNumber({ code: await codeFor(app, phoneNumber) }, session());
    const { challenge } = await auth.requestPhoneSignIn({ phoneNumber }, lab.source());
    const code = await codeFor(app, phoneNumber);
    const challengeId = present(challenge).challengeId;
    await auth.completePhoneSignIn({ challengeId, code }, lab.source());
    app.clock.advance({ seconds: 61 });
  });
  const target = { email: lab.owner.email, phoneNumber: lab.owner.phone };
  const sendEmail = () => auth.sendEmailVerificationCode({ email: target.email }, session());
  const sendPhone = () =>
    auth.sendPhoneVerificationCode({ phoneNumber: target.phoneNumber }, session());
  await sendEmail();
  await sendPhone();
  return [
    {
      lane: 'session',
      destination: target.email,
      guess: (code) => auth.confirmEmail({ code }, session()),
      again: sendEmail,
    },
    {
      lane: 'session',
      destination: target.phoneNumber,
      guess: (code) => auth.confirmPhoneNumber({ code }, session()),
      again: sendPhone,
    },
  ];
};

/** Answers to guesses of the ordinary length, by reason. */
export type Answers = Record<string, number>;

/** Guesses at once in one flow. */
const BURST = 2;
/** More is not asked of a flow whose answers are wrong guesses without end: nothing of it is judged. */
const MOST_BURSTS = 4;

/**
 * Opens every way and types into all that came of it, in random order; waits for the cooldown, has the codes
 * of all sent again and goes on, several guesses at a time, until each flow is refused.
 */
export async function attackOnce(lab: Laboratory, ways: readonly Way[]): Promise<Answers> {
  const answers: Answers = {};
  const flows: Flow[] = [];
  for (const way of ways) flows.push(...(await way(lab)));
  await delivered(lab.app);
  for (const flow of shuffled(lab, flows)) await burst(lab, flow, 1, answers);
  lab.advance({ seconds: 61 });
  for (const flow of flows) await outcomeOf(flow.again());
  await delivered(lab.app);
  for (const flow of shuffled(lab, flows)) await exhaust(lab, flow, answers);
  return answers;
}

async function exhaust(lab: Laboratory, flow: Flow, answers: Answers): Promise<void> {
  for (let bursts = 0; bursts < MOST_BURSTS; bursts += 1) {
    const reasons = await burst(lab, flow, BURST, answers);
    if (reasons.some((reason) => reason !== 'CODE_INVALID')) break;
  }
  // What is refused may wait for a code of the long kind.
  await outcomeOf(flow.guess(wrongFor(lab, flow.destination, 20)));
  lab.count(flow.lane);
}

async function burst(
  lab: Laboratory,
  flow: Flow,
  size: number,
  answers: Answers,
): Promise<readonly string[]> {
  const guesses = Array.from({ length: size }, () => wrongFor(lab, flow.destination, 6));
  const reasons = await Promise.all(guesses.map((code) => outcomeOf(flow.guess(code))));
  lab.count(flow.lane);
  for (const reason of reasons) answers[reason] = (answers[reason] ?? 0) + 1;
  return reasons;
}

function shuffled<T>(lab: Laboratory, items: readonly T[]): readonly T[] {
  const keyed = items.map((item) => ({ item, key: lab.random() }));
  return keyed.sort((a, b) => a.key - b.key).map(({ item }) => item);
}

const CODE = /(?<![0-9])(?:[0-9]{20}|[0-9]{6})(?![0-9])/;

/** An attacker without luck: the chance is worked out from what was judged, and must not end the run. */
function wrongFor(lab: Laboratory, destination: string, digits: 6 | 20): string {
  const { messages } = lab.app.mailbox;
  const sent = new Set(
    messages.filter(({ to }) => to === destination).map(({ text }) => CODE.exec(text)?.[0]),
  );
  let guess = Math.floor(lab.random() * 1e6);
  const text = () => String(guess).padStart(digits, '0');
  while (sent.has(text())) guess = (guess + 1) % 1e6;
  return text();
}
