import type { Challenge, Model } from './model.js';
import {
  ACCESS_TTL,
  accountOf,
  accountSubject,
  CODE_TTL,
  COOLDOWN,
  channelOf,
  IDLE_TTL,
  type Kind,
  needsLongCode,
  type Purpose,
  SESSION_TTL,
  type Session,
  standIn,
} from './model.js';

/** What the model expects of one call. The model has changed already, but for what only the answer tells. */
export interface Expected<Response = unknown> {
  /** `OK`, or the reason. */
  readonly answer: string;
  /** Learns ids and tokens; answers for which challenges a code is on its way now. */
  learn?(response: Response): readonly Challenge[];
  /** Budgets that begin anew. */
  readonly lifted?: readonly string[];
  /** Who may get a message without a code: a notice, or a note. */
  readonly told?: readonly string[];
}

export const refused = (answer: string): Expected => ({ answer });

export interface Tokens {
  readonly accessToken: string;
  readonly refreshToken: string;
}

/** A session that has just been opened. */
export function openSession(
  model: Model,
  accountId: string,
  tokens: Tokens | undefined,
  probe = false,
): Session {
  if (tokens === undefined) throw new Error('a sign-in gave no tokens');
  const session: Session = {
    id: sessionIdOf(tokens.accessToken),
    accountId,
    epoch: accountOf(model, { accountId }).sessionEpoch,
    authTime: model.now,
    accessToken: tokens.accessToken,
    accessExpiresAt: model.now + ACCESS_TTL,
    refreshTokens: [tokens.refreshToken],
    rotatedAt: Number.NEGATIVE_INFINITY,
    idleExpiresAt: model.now + IDLE_TTL,
    expiresAt: model.now + SESSION_TTL,
    ended: false,
    probe,
  };
  model.sessions.push(session);
  return session;
}

function sessionIdOf(accessToken: string): string {
  const [, payload = ''] = accessToken.split('.');
  return (JSON.parse(Buffer.from(payload, 'base64url').toString()) as { sid: string }).sid;
}

/** A challenge that has just been begun, in which there is no code yet. */
export function beginChallenge(
  model: Model,
  id: string,
  parts: Pick<Challenge, 'owner' | 'purpose' | 'channel' | 'typed'> & { accountId?: string },
): Challenge {
  const challenge: Challenge = {
    ...parts,
    id,
    accountId: parts.accountId,
    epoch: 0,
    destination: undefined,
    code: undefined,
    oldCodes: [],
    long: false,
    issuedAt: model.now,
    expiresAt: model.now + CODE_TTL,
    resendAt: model.now + COOLDOWN,
    used: false,
    resetToken: undefined,
  };
  model.challenges.set(id, challenge);
  return challenge;
}

/** From now on the code that was in it is dead. */
export function rotateChallenge(model: Model, challenge: Challenge): void {
  if (challenge.code !== undefined) challenge.oldCodes.unshift(challenge.code);
  Object.assign(challenge, {
    destination: undefined,
    code: undefined,
    long: false,
    issuedAt: model.now,
    expiresAt: model.now + CODE_TTL,
    resendAt: model.now + COOLDOWN,
    used: false,
    resetToken: undefined,
  });
}

/** A code is drawn and goes out. */
export function issueCode(
  model: Model,
  challenge: Challenge,
  to: { accountId: string | undefined; kind: Kind; value: string; atSignUp?: boolean },
): readonly Challenge[] {
  const { accountId, kind, value, atSignUp = false } = to;
  challenge.accountId = accountId;
  challenge.epoch = accountId === undefined ? 0 : accountOf(model, { accountId }).proofEpoch;
  challenge.destination = { kind, value };
  const subject = accountId === undefined ? standIn(challenge.typed) : accountSubject(accountId);
  const asked = atSignUp ? undefined : subject;
  challenge.long = needsLongCode(model, challenge.channel, challenge.typed, asked);
  return [challenge];
}

/** What an anonymous request answers and does, up to the moment at which it is resolved. */
export function requestFlow(
  model: Model,
  request: Pick<Challenge, 'owner' | 'purpose' | 'channel' | 'typed'> & {
    again: Challenge | undefined;
    resolve: (challenge: Challenge) => readonly Challenge[];
  },
): Expected<{ challenge?: { challengeId: string } | undefined }> {
  const { again, resolve, ...parts } = request;
  const known =
    again !== undefined &&
    again.purpose === parts.purpose &&
    again.channel === parts.channel &&
    again.typed.type === parts.typed.type &&
    again.typed.value === parts.typed.value &&
    model.challenges.has(again.id);
  const cools = known && model.now < again.resendAt;
  return {
    answer: 'OK',
    learn(response) {
      const id = response.challenge?.challengeId ?? '';
      if (known !== (id === again?.id))
        throw new Error(known ? 'the flow did not go on' : 'a foreign flow went on');
      if (cools) return [];
      if (!known) {
        const fresh = beginChallenge(model, id, parts);
        return again === undefined ? resolve(fresh) : [];
      }
      rotateChallenge(model, again);
      if (again.purpose !== 'verify') again.accountId = undefined;
      return resolve(again);
    },
  };
}

/** The channel and budget of what was typed. */
export function typedAs(kind: Kind, value: string, purpose: Purpose, owner: number) {
  return { owner, purpose, channel: channelOf(kind), typed: { type: kind, value } } as const;
}
