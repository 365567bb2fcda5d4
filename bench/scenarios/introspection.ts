import type { ScenarioCall } from '../support/load.js';
import { call, connect, metadataOf, type Target } from './scenario.js';

/** A service asks about the tokens that it was shown. */
export async function open(data: {
  readonly target: Target;
  readonly accessTokens: readonly string[];
}): Promise<ScenarioCall> {
  const client = connect(data.target);
  return async (_slot, nth) => {
    const person = nth % data.accessTokens.length;
    const accessToken = data.accessTokens[person] ?? '';
    const metadata = metadataOf(data.target, person);
    const request = { accessToken };
    const { outcome, response } = await call(client, client.introspectToken, request, metadata);
    return response?.active === false ? 'INACTIVE' : outcome;
  };
}
