import type { Act, Props } from './acts.js';
import { about } from './acts-signing-in.js';
import { type Account, channelOf, forget, holderOf, type Kind } from './model.js';
import * as proving from './rules-proving.js';
import * as recovery from './rules-recovery.js';

type Acts = Readonly<Record<string, (props: Props) => Act | undefined>>;

/** Codes that prove an address or recover an account, and what operators do. */
export const actsOfProving = {
  sendEmailVerificationCode: (props) => send(props, 'email'),
  sendPhoneVerificationCode: (props) => send(props, 'phone'),
  confirmEmail: (props) => confirm(props, 'email'),
  confirmPhoneNumber: (props) => confirm(props, 'phone'),
  resendEmailConfirmation(props) {
    const { auth, model, who, step } = props;
    const again =
      step.how < 7 ? props.challenge('verify', step.how === 6 ? 'sms' : 'email') : undefined;
    const its = again?.typed.type === 'email' && step.on < 4 ? again.typed.value : undefined;
    const email = its ?? props.address('email');
    return {
      what: `asks again for the confirmation of ${email}${again ? ` in ${about(again)}` : ''}`,
      expect: () => proving.resendConfirmation(model, { owner: who, email, again }),
      call: () => auth.resendEmailConfirmation({ email, challengeId: again?.id }),
    };
  },
  requestPasswordReset(props) {
    const { auth, model, who, step } = props;
    const username = props.account()?.username?.value;
    const [held] = props.account()?.held.keys() ?? [];
    const kind =
      step.pick < 6 && held !== undefined ? held : (['email', 'phone'] as const)[step.on % 2];
    if (kind === undefined) return undefined;
    const typed: recovery.Typed =
      step.pick > 9 && username !== undefined
        ? { type: 'username', value: username }
        : { type: kind, value: props.held(kind) };
    const again = step.how % 3 === 1 ? props.challenge('reset') : undefined;
    return {
      what: `asks for a reset of ${typed.value}${again ? `, again in ${again.id}` : ''}`,
      expect: () => recovery.requestReset(model, { owner: who, typed, again }),
      call: () => auth.requestPasswordReset({ identifier: typed.value, challengeId: again?.id }),
    };
  },
  verifyPasswordResetCode(props) {
    const { auth, model, step } = props;
    const strange =
      step.how === 8 ? props.challenge(step.on > 2 ? 'verify' : 'sign_in') : undefined;
    const challenge = strange ?? props.challenge('reset');
    if (challenge === undefined) return undefined;
    const code = props.codeOf(challenge);
    return {
      what: `verifies the reset code ${code} of ${about(challenge)}`,
      expect: () => recovery.verifyResetCode(model, { challenge, code }),
      call: () => auth.verifyPasswordResetCode({ challengeId: challenge.id, code }),
    };
  },
  resetPassword(props) {
    const { auth, model } = props;
    const unused = model.resetTokens.filter(({ challenge }) => challenge.resetToken !== undefined);
    const used = props.recent(props.step.how < 7 && unused.length > 0 ? unused : model.resetTokens);
    if (used === undefined) return undefined;
    const { challenge, token } = used;
    const password = props.password();
    return {
      what: `resets the password by the token of ${about(challenge)}`,
      expect: () => recovery.resetPassword(model, { challenge, token, password }),
      call: () => auth.resetPassword({ resetToken: token, newPassword: password }),
    };
  },
  block: (props) => {
    if (props.step.how > 4) return undefined;
    return operates(props, 'blocks', ({ status }) => status === 'active', {
      model: (account) => {
        account.status = 'blocked';
        account.proofEpoch += 1;
        account.sessionEpoch += 1;
      },
      row: ({ id }) => props.stage.world.operator.block(id),
    });
  },
  unblock: (props) =>
    operates(props, 'unblocks', ({ status }) => status === 'blocked', {
      model: (account) => {
        account.status = 'active';
      },
      row: ({ id }) => props.stage.world.operator.unblock(id),
    }),
  lapse: (props) => {
    const verified = ({ held }: Account) =>
      [...held].filter(([, { state }]) => state === 'verified').map(([kind]) => kind);
    const account = props.recent(props.accounts().filter((each) => verified(each).length > 0));
    const kinds = account === undefined ? [] : verified(account);
    const kind = kinds[props.step.on % kinds.length];
    if (kind === undefined) return undefined;
    return operates(props, `lapses the ${kind} of`, (each) => each === account, {
      model: ({ held }) => {
        Object.assign(held.get(kind) ?? {}, { state: 'lapsed' });
      },
      row: ({ id }) => props.stage.world.operator.lapse(id, kind),
    });
  },
  vouch: (props) => {
    const { model, step, stage } = props;
    const kind: Kind = step.how % 2 === 0 ? 'email' : 'phone';
    const value = props.held(kind);
    const holder = holderOf(model, kind, value);
    const mayHold = (account: Account) =>
      account.status !== 'closed' && (holder === undefined || holder === account);
    return operates(props, `vouches for ${value} of`, mayHold, {
      model({ held, claims }) {
        claims.delete(kind);
        held.set(kind, {
          value,
          state: 'verified',
          enabled: true,
          keptDemoted: false,
          vouched: true,
          provenAt: model.now,
          since: model.now,
        });
      },
      row: ({ id }) => stage.world.operator.vouch(id, kind, value),
    });
  },
  wear(props) {
    const { model, stage } = props;
    return {
      what: 'every budget of codes comes near its end',
      expect: () => {
        stage.ledger.wear(model.now, model.budgets.wear(model.now));
        return { answer: 'OK' };
      },
      call: () => stage.world.operator.wear(),
    };
  },
  jump(props) {
    const { model, step, stage } = props;
    const seconds = JUMPS[(step.pick + step.how) % JUMPS.length] ?? 60;
    return {
      what: `${seconds} seconds go by`,
      expect: () => {
        model.now += seconds;
        forget(model);
        return { answer: 'OK' };
      },
      call: () => stage.world.jump(seconds),
    };
  },
} satisfies Acts;

const DAY = 86_400;
/** Cooldowns, lives of codes and tokens, locks, claims, and what a reset calls late; whole half minutes. */
const JUMPS = [
  60,
  60,
  60,
  60,
  60,
  30,
  120,
  300,
  600,
  900,
  900,
  60,
  60,
  60,
  3_600,
  8 * DAY,
  31 * DAY,
] as const;

function send(props: Props, kind: Kind): Act | undefined {
  const { auth, model, step } = props;
  const session = props.session();
  if (session === undefined) return undefined;
  const value = step.how < 3 ? undefined : props.address(kind);
  return {
    what: `sends a code to ${value ?? `the ${kind} that waits`} by ${session.id}`,
    expect: () => proving.sendCode(model, { session, kind, value }),
    call: () =>
      kind === 'email'
        ? auth.sendEmailVerificationCode({ email: value }, session)
        : auth.sendPhoneVerificationCode({ phoneNumber: value }, session),
  };
}

function confirm(props: Props, kind: Kind): Act | undefined {
  const { auth, model, step } = props;
  const channel = step.pick === 11 ? undefined : channelOf(kind);
  const challenge = props.challenge('verify', channel);
  if (challenge === undefined) return undefined;
  const code = props.codeOf(challenge);
  // By the session, by the handle, by both; sometimes by somebody else's session.
  const session =
    step.on < 2 ? undefined : step.on === 5 ? props.anySession(step.pick) : props.session();
  const shown = step.on === 2 && session !== undefined ? undefined : challenge;
  return {
    what: `confirms ${about(challenge)} with ${code}${shown ? ' by its handle' : ''}${session ? ` in ${session.id}` : ''}`,
    expect: () => proving.confirm(model, { kind, challenge: shown, session, code }),
    call: () => {
      const request = { code, challengeId: shown?.id };
      return kind === 'email'
        ? auth.confirmEmail(request, session)
        : auth.confirmPhoneNumber(request, session);
    },
  };
}

function operates(
  props: Props,
  verb: string,
  fits: (account: Account) => boolean,
  change: { model(account: Account): void; row(account: Account): Promise<void> },
): Act | undefined {
  const account = props.recent(props.accounts().filter(fits));
  if (account === undefined) return undefined;
  return {
    what: `an operator ${verb} ${account.id}`,
    expect: () => {
      change.model(account);
      return { answer: 'OK' };
    },
    call: () => change.row(account),
  };
}
