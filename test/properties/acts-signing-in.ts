import type { Act, Props } from './acts.js';
import { type Challenge, isAlive } from './model.js';
import * as rules from './rules-account.js';
import * as signing from './rules-sign-in.js';

type Acts = Readonly<Record<string, (props: Props) => Act | undefined>>;

const MAX_ACCOUNTS = 3;

/** Getting an account, and getting in and out of it. */
export const actsOfSigningIn = {
  signUp(props) {
    const { auth, model, who, step } = props;
    if (props.accounts().filter(({ status }) => status !== 'closed').length >= MAX_ACCOUNTS)
      return undefined;
    const email = [1, 3, 4, 5].includes(step.on) ? props.address('email') : undefined;
    const phoneNumber = [2, 3, 4].includes(step.on) ? props.address('phone') : undefined;
    const username = `person-${who}-${props.stage.next()}-${props.stage.suffix}`;
    const newcomer = { owner: who, username, password: props.password(), email, phoneNumber };
    return {
      what: `signs up as ${username} with ${email} and ${phoneNumber}`,
      expect: () => signing.signUp(model, newcomer),
      call: () => auth.signUp(newcomer),
    };
  },
  signIn(props) {
    const { step } = props;
    const account = props.account();
    if (account === undefined) return undefined;
    const identifiers = [
      account.username?.value,
      ...[...account.held.values(), ...account.claims.values()].map(({ value }) => value),
      props.address('email'),
      props.address('phone'),
    ].filter((value) => value !== undefined);
    // Half of the time by what is sure to be theirs.
    const identifier = identifiers[step.how < 4 ? 0 : step.on % identifiers.length] ?? '';
    const right = step.how < 8 && account.password !== undefined;
    return signInWith(props, identifier, (right && account.password) || 'some other password');
  },
  requestPhoneSignIn(props) {
    const { auth, model, who, step } = props;
    const number = props.held('phone');
    const again = step.how % 3 === 1 ? props.challenge('sign_in') : undefined;
    return {
      what: `asks for a code to sign in with ${number}${again ? `, again in ${again.id}` : ''}`,
      expect: () => signing.requestPhoneSignIn(model, { owner: who, number, again }),
      call: () => auth.requestPhoneSignIn({ phoneNumber: number, challengeId: again?.id }),
    };
  },
  completePhoneSignIn(props) {
    const { auth, model, step } = props;
    // Sometimes a challenge of another purpose.
    const strange = step.how === 8 ? props.challenge(step.on > 2 ? 'verify' : 'reset') : undefined;
    const challenge = strange ?? props.challenge('sign_in');
    if (challenge === undefined) return undefined;
    const code = props.codeOf(challenge);
    return {
      what: `signs in with the code ${code} of ${about(challenge)}`,
      expect: () => signing.completePhoneSignIn(model, { challenge, code }),
      call: () => auth.completePhoneSignIn({ challengeId: challenge.id, code }),
    };
  },
  refreshSession(props) {
    const { model } = props;
    const session = props.session((each) => isAlive(model, each));
    const place = props.step.on === 5 ? 3 : props.step.on === 4 ? 2 : 1;
    const token = session?.refreshTokens.at(-place) ?? session?.refreshTokens.at(-1);
    return session && token !== undefined ? refreshWith(props, session, token) : undefined;
  },
  signOut(props) {
    const { auth } = props;
    const session = props.session();
    if (session === undefined) return undefined;
    return {
      what: `signs out of ${session.id}`,
      expect: () => {
        session.ended = true;
        return { answer: 'OK' };
      },
      call: () => auth.signOut({ refreshToken: session.refreshTokens.at(-1) ?? '' }),
    };
  },
  signOutEverywhere(props) {
    const { auth, model } = props;
    const session = props.session();
    if (session === undefined) return undefined;
    return {
      what: `signs out everywhere by ${session.id}`,
      expect: () => rules.signOutEverywhere(model, session),
      call: () => auth.signOutEverywhere({}, session),
    };
  },
} satisfies Acts;

export function signInWith(
  { auth, model }: Props,
  identifier: string,
  password: string,
  probe = false,
): Act {
  return {
    what: `signs in as ${identifier} with "${password}"${probe ? ' (a probe)' : ''}`,
    expect: () => signing.signIn(model, { identifier, password }, probe),
    call: () => auth.signIn({ identifier, password }),
  };
}

export function refreshWith(
  { auth, model }: Props,
  session: Parameters<typeof signing.refreshSession>[1],
  token: string,
): Act {
  return {
    what: `refreshes ${session.id} by its token ${session.refreshTokens.indexOf(token)}`,
    expect: () => signing.refreshSession(model, session, token),
    call: () => auth.refreshSession({ refreshToken: token }),
  };
}

export function about({ purpose, id, typed, accountId }: Challenge): string {
  return `${purpose} ${id} (${typed.value}, ${accountId ?? 'nobody'})`;
}
