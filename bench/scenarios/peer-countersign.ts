/** The tasks of the peers suite, as Countersign has them. */
import type { ScenarioCall } from '../support/load.js';
import { PASSWORD, type SeededPerson } from '../support/people.js';
import { codesIn } from './message-file.js';
import { type PeerData, type PeerTask, phoneNumber } from './peer-tasks.js';
import { call, connect, type Ended, metadataOf } from './scenario.js';

export interface CountersignData extends PeerData {
  readonly callerKey: string | undefined;
  readonly people: readonly SeededPerson[];
}

export async function open(data: CountersignData): Promise<ScenarioCall> {
  const { task, people } = data;
  const client = connect(data);
  const codes = codesIn(data.messageFile);
  const person = (nth: number): SeededPerson => {
    const found = people[nth % people.length];
    if (found === undefined) throw new Error('nobody was seeded');
    return found;
  };
  const tasks: Readonly<Record<PeerTask, (nth: number) => Promise<Ended<unknown>>>> = {
    'sign-in': (nth) => {
      const request = { identifier: person(nth).username, password: PASSWORD };
      return call(client, client.signIn, request, metadataOf(data, nth));
    },
    'send-code': (nth) => {
      const { accessToken, phone } = person(nth);
      const metadata = metadataOf(data, nth, accessToken);
      return call(client, client.sendPhoneVerificationCode, { phoneNumber: phone }, metadata);
    },
    'session-check': (nth) => {
      const { accessToken } = person(nth);
      return call(client, client.introspectToken, { accessToken }, metadataOf(data, nth));
    },
    'new-person': async (nth) => {
      const [username, to] = [`n${process.pid}x${nth}`, phoneNumber(nth)];
      const code = codes.next(to);
      const metadata = metadataOf(data, nth);
      const request = { username, password: PASSWORD, phoneNumber: to };
      const made = await call(client, client.signUp, request, metadata);
      if (made.response === undefined) return made;
      const [challenge] = made.response.challenges;
      const proof = { challengeId: challenge?.challengeId, code: await code };
      return call(client, client.confirmPhoneNumber, proof, metadata);
    },
  };
  return async (_slot, nth) => (await tasks[task](nth)).outcome;
}
