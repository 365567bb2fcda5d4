import type { ScenarioCall } from '../support/load.js';
import { type FlowData, flowCall } from './code-flow.js';
import { call } from './scenario.js';

/** Somebody has forgotten the password: asks for a code, waits for the message, verifies it. One call is both. */
export async function open(data: FlowData): Promise<ScenarioCall> {
  return flowCall(data, {
    request: (client, identifier, metadata) =>
      call(client, client.requestPasswordReset, { identifier }, metadata),
    complete: (client, answer, metadata) =>
      call(client, client.verifyPasswordResetCode, answer, metadata),
  });
}
