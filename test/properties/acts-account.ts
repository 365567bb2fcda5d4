import { IdentifierType } from '../../generated/countersign/v1/account.js';
import type { Act, Props } from './acts.js';
import { accountOf, isAlive, type Kind, type Model, mayAct, type Session } from './model.js';
import * as rules from './rules-account.js';

type Acts = Readonly<Record<string, (props: Props) => Act | undefined>>;

/** What somebody who is signed in does to their account. */
export const actsOnAccounts = {
  listSessions: (props) =>
    signedIn(props, (session) => ({
      what: 'lists the sessions',
      expect: () => ({
        ...rules.read(props.model, session),
        learn(response) {
          const { sessions } = response as { sessions: readonly { sessionId: string }[] };
          const alive = props.model.sessions.filter(
            (each) => each.accountId === session.accountId && isAlive(props.model, each),
          );
          expectSame(
            sessions.map(({ sessionId }) => sessionId),
            alive.map(({ id }) => id),
          );
          return [];
        },
      }),
      call: () => props.auth.listSessions({ pageSize: 100 }, session),
    })),
  revokeSession: (props) =>
    signedIn(props, (session) => {
      const other = props.step.on > 3 ? props.anySession(props.step.how) : props.session();
      if (other === undefined) return undefined;
      return {
        what: `revokes ${other.id} by ${session.id}`,
        expect: () => rules.revokeSession(props.model, session, other),
        call: () => props.auth.revokeSession({ sessionId: other.id }, session),
      };
    }),
  getAccount: (props) =>
    signedIn(props, (session) => ({
      what: `reads the account of ${session.id}`,
      expect: () => ({
        ...rules.read(props.model, session),
        learn(response) {
          const { account } = response as { account?: { identifiers: readonly WireIdentifier[] } };
          expectSame(
            (account?.identifiers ?? []).map(told),
            identifiersOf(props.model, session).map(told),
          );
          return [];
        },
      }),
      call: () => props.auth.getAccount({}, session),
    })),
  updateProfile: (props) =>
    signedIn(props, (session) => {
      if (props.step.on < 3) {
        return {
          what: 'changes the display name',
          expect: () => rules.read(props.model, session),
          call: () => props.auth.updateProfile({ profile: { displayName: 'Somebody' } }, session),
        };
      }
      const username = `chosen-${props.stage.next()}-${props.stage.suffix}`;
      return {
        what: `changes the username to ${username}`,
        expect: () => rules.changeUsername(props.model, session, username),
        call: () => props.auth.updateProfile({ profile: { username } }, session),
      };
    }),
  updateSettings: (props) => signedIn(props, (session) => updateSettings(props, session)),
  closeAccount: (props) =>
    props.step.how > 2
      ? undefined
      : signedIn(props, (session) => ({
          what: `closes the account of ${session.id}`,
          expect: () => rules.closeAccount(props.model, session),
          call: () => props.auth.closeAccount({}, session),
        })),
  changePassword: (props) =>
    signedIn(props, (session) => {
      const { password } = accountOf(props.model, session);
      const wrong = password === undefined || props.step.on === 0;
      const current = wrong ? 'not the password' : password;
      const next = props.password();
      return {
        what: `changes the password by ${session.id}`,
        expect: () => rules.changePassword(props.model, session, { current, next }),
        call: () =>
          props.auth.changePassword({ currentPassword: current, newPassword: next }, session),
      };
    }),
  setPhoneNumber: (props) =>
    signedIn(props, (session) => {
      const number = props.address('phone');
      return {
        what: `sets the phone ${number} by ${session.id}`,
        expect: () => rules.setPhoneNumber(props.model, session, number),
        call: () => props.auth.setPhoneNumber({ phoneNumber: number }, session),
      };
    }),
  removePhoneNumber: (props) =>
    signedIn(props, (session) => ({
      what: `removes the phone by ${session.id}`,
      expect: () => rules.removeContact(props.model, session, 'phone'),
      call: () => props.auth.removePhoneNumber({}, session),
    })),
  removeEmail: (props) =>
    signedIn(props, (session) => ({
      what: `removes the email by ${session.id}`,
      expect: () => rules.removeContact(props.model, session, 'email'),
      call: () => props.auth.removeEmail({}, session),
    })),
  setSignInEnabled: (props) =>
    signedIn(props, (session) => {
      const type = (['username', 'email', 'phone'] as const)[props.step.on % 3] ?? 'username';
      const enabled = props.step.on > 3;
      return {
        what: `lets the ${type} sign in: ${enabled}, by ${session.id}`,
        expect: () => rules.setSignInEnabled(props.model, session, { type, enabled }),
        call: () => props.auth.setSignInEnabled({ type: WIRE_TYPES[type], enabled }, session),
      };
    }),
  introspectToken: (props) =>
    signedIn(props, (session) => ({
      what: `introspects ${session.id}`,
      expect: () => ({
        answer: 'OK',
        learn(response) {
          const { active } = response as { active: boolean };
          const expired = props.model.now >= session.accessExpiresAt;
          // What others have ended is heard of within two seconds, which are not waited for here.
          const ought = mayAct(props.model, session) || (!expired && !session.ended && active);
          if (active !== ought) throw new Error(`introspection says active: ${active}`);
          return [];
        },
      }),
      call: () => props.auth.introspectToken({ accessToken: session.accessToken }),
    })),
  getJsonWebKeySet: (props) => ({
    what: 'asks for the keys',
    expect: () => ({ answer: 'OK' }),
    call: () => props.auth.getJsonWebKeySet({}),
  }),
} satisfies Acts;

/** A call that changes something, and asks nothing but that the session lives. */
export function updateSettings({ auth, model }: Props, session: Session): Act {
  return {
    what: `changes the settings by ${session.id}`,
    expect: () => rules.read(model, session),
    call: () => auth.updateSettings({ settings: { locale: 'en' } }, session),
  };
}

function signedIn(props: Props, act: (session: Session) => Act | undefined): Act | undefined {
  const session = props.session();
  return session && act(session);
}

const WIRE_TYPES = {
  username: IdentifierType.USERNAME,
  email: IdentifierType.EMAIL,
  phone: IdentifierType.PHONE,
} as const satisfies Record<Kind | 'username', IdentifierType>;

interface WireIdentifier {
  readonly type: IdentifierType;
  readonly value: string;
  readonly verified: boolean;
  readonly signInEnabled: boolean;
}

const told = ({ type, value, verified, signInEnabled }: WireIdentifier): string =>
  `${type} ${value} ${verified} ${signInEnabled}`;

function identifiersOf(model: Model, session: Session): readonly WireIdentifier[] {
  const { username, held, claims } = accountOf(model, session);
  const named =
    username === undefined
      ? []
      : [
          {
            type: IdentifierType.USERNAME,
            value: username.value,
            verified: true,
            signInEnabled: username.enabled,
          },
        ];
  return [
    ...named,
    ...[...held].map(([kind, { value, state, enabled }]) => ({
      type: WIRE_TYPES[kind],
      value,
      verified: state === 'verified' || state === 'contact',
      signInEnabled: enabled,
    })),
    ...[...claims].map(([kind, { value }]) => ({
      type: WIRE_TYPES[kind],
      value,
      verified: false,
      signInEnabled: false,
    })),
  ];
}

function expectSame(actual: readonly string[], wanted: readonly string[]): void {
  const [a, b] = [[...actual].sort().join('\n'), [...wanted].sort().join('\n')];
  if (a !== b) throw new Error(`answered\n${a}\nand the model says\n${b}`);
}
