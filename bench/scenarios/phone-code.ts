import type { ScenarioCall } from '../support/load.js';
import { codesIn } from './message-file.js';
import { call, connect, metadataOf, type Target } from './scenario.js';

/** A signed-in person adds a phone: asks for a code, waits for the message, confirms. One call is both. */
export async function open(data: {
  readonly target: Target;
  readonly people: readonly { readonly phone: string; readonly accessToken: string }[];
  readonly messageFile: string;
}): Promise<ScenarioCall> {
  const client = connect(data.target);
  const codes = codesIn(data.messageFile);
  return async (_slot, nth) => {
    const person = data.people[nth - 1];
    if (person === undefined)
      throw new Error(`all ${data.people.length} people have a phone by now`);
    const metadata = metadataOf(data.target, nth, person.accessToken);
    const code = codes.next(person.phone);
    const send = { phoneNumber: person.phone };
    const sent = await call(client, client.sendPhoneVerificationCode, send, metadata);
    if (sent.response === undefined) return sent.outcome;
    const confirm = { challengeId: sent.response.challenge?.challengeId, code: await code };
    return (await call(client, client.confirmPhoneNumber, confirm, metadata)).outcome;
  };
}
