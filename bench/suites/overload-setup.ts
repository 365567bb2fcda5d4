/** What the overload suite calls with: people, sessions, and codes on their way. */
import { readFile } from 'node:fs/promises';
import { setTimeout as delay } from 'node:timers/promises';
import {
  AuthServiceService,
  SendPhoneVerificationCodeRequest,
  SendPhoneVerificationCodeResponse,
} from '../../generated/countersign/v1/auth_service.js';
import type { AsideData } from '../scenarios/overload-aside.js';
import type { SignInData } from '../scenarios/overload-sign-in.js';
import { callerMetadata } from '../scenarios/overload-target.js';
import { PASSWORD, type SeededPerson, seedPeople } from '../support/people.js';
import type { Subject } from '../support/subject.js';
import { encoded, openWire } from '../support/wire.js';

/** Sign-ins of one person wait for each other's rows: there are enough of them that few meet. */
const SIGNING_IN = 1_000;
/** One call at a time each. */
const REFRESHING = 200;
const AT_ONCE = 20;
const DELIVERY_TRIES = 200;
const DELIVERY_POLL_MS = 100;

export interface OverloadData {
  readonly signIn: Omit<SignInData, 'deadlineMs' | 'seed'>;
  /** For one pass each: a code is confirmed once. */
  readonly aside: readonly (() => Promise<AsideData>)[];
}

export async function prepareOverload(
  subject: Subject,
  passes: number,
  codesPerPass: number,
): Promise<OverloadData> {
  const { address, callerKey } = subject;
  const perPass = REFRESHING + codesPerPass;
  const people = await seedPeople(subject, SIGNING_IN + passes * perPass);
  const usernames = people.slice(0, SIGNING_IN).map(({ username }) => username);
  const aside = Array.from({ length: passes }, (_, pass) => async (): Promise<AsideData> => {
    const first = SIGNING_IN + pass * perPass;
    const mine = people.slice(first, first + perPass);
    return {
      address,
      callerKey,
      refreshTokens: mine.slice(0, REFRESHING).map(({ refreshToken }) => refreshToken),
      accessToken: mine[0]?.accessToken ?? '',
      codes: await sendCodes(subject, mine.slice(REFRESHING)),
    };
  });
  return { signIn: { address, callerKey, usernames, password: PASSWORD }, aside };
}

/** A code to each, and the codes out of the file that messages are written to. */
async function sendCodes(
  subject: Subject,
  people: readonly SeededPerson[],
): Promise<AsideData['codes']> {
  using wire = openWire(subject.address, 2, callerMetadata(subject));
  const challenges = new Map<string, string>();
  const waiting = [...people];
  const send = async (): Promise<void> => {
    for (let person = waiting.pop(); person !== undefined; person = waiting.pop()) {
      const request = encoded(
        SendPhoneVerificationCodeRequest,
        SendPhoneVerificationCodeRequest.fromPartial({ phoneNumber: person.phone }),
      );
      const { status, message } = await wire.call(
        AuthServiceService.sendPhoneVerificationCode.path,
        request,
        { authorization: `Bearer ${person.accessToken}` },
      );
      if (status !== 0) throw new Error(`a code was not sent: status ${status}`);
      const { challenge } = SendPhoneVerificationCodeResponse.decode(message);
      challenges.set(person.phone, challenge?.challengeId ?? '');
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, send));
  for (let tries = 0; tries < DELIVERY_TRIES; tries += 1) {
    const sent = await codesIn(subject.messageFile);
    const codes = [...challenges].flatMap(([phone, challengeId]) => {
      const code = sent.get(phone);
      return code === undefined ? [] : [{ challengeId, code }];
    });
    if (codes.length === challenges.size) return codes;
    await delay(DELIVERY_POLL_MS);
  }
  throw new Error('not all codes were delivered');
}

async function codesIn(file: string): Promise<ReadonlyMap<string, string>> {
  const lines = (await readFile(file, 'utf8')).split('\n').slice(0, -1);
  return new Map(
    lines.map((line) => {
      const { to, text }: { to: string; text: string } = JSON.parse(line);
      return [to, /(?<!\d)\d{6}(?!\d)/.exec(text)?.[0] ?? ''];
    }),
  );
}
