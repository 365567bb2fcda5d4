import type { ScenarioCall } from '../support/load.js';
import { call, connect, metadataOf, type Target } from './scenario.js';

/** Sessions are refreshed in turn, each with the token that its last refresh gave. */
export async function open(data: {
  readonly target: Target;
  readonly refreshTokens: readonly string[];
}): Promise<ScenarioCall> {
  const client = connect(data.target);
  const waiting = data.refreshTokens.map((token, person) => ({ token, person }));
  return async () => {
    const session = waiting.shift();
    if (session === undefined) throw new Error('more calls at once than sessions');
    const metadata = metadataOf(data.target, session.person);
    const request = { refreshToken: session.token };
    const { outcome, response } = await call(client, client.refreshSession, request, metadata);
    const token = response?.tokens?.refreshToken ?? session.token;
    waiting.push({ ...session, token });
    return outcome;
  };
}
