import type { ScenarioCall } from '../support/load.js';
import { call, connect, metadataOf, type Target } from './scenario.js';

/** People sign in by username and password, one after the other. */
export async function open(data: {
  readonly target: Target;
  readonly usernames: readonly string[];
  readonly password: string;
}): Promise<ScenarioCall> {
  const client = connect(data.target);
  return async (_slot, nth) => {
    const person = nth % data.usernames.length;
    const identifier = data.usernames[person] ?? '';
    const metadata = metadataOf(data.target, person);
    const request = { identifier, password: data.password };
    return (await call(client, client.signIn, request, metadata)).outcome;
  };
}
