import type { ScenarioCall } from '../support/load.js';
import { type FlowData, flowCall } from './code-flow.js';
import { call } from './scenario.js';

/** Somebody signs in by phone: asks for a code, waits for the message, completes. One call is both. */
export async function open(data: FlowData): Promise<ScenarioCall> {
  return flowCall(data, {
    request: (client, phoneNumber, metadata) =>
      call(client, client.requestPhoneSignIn, { phoneNumber }, metadata),
    complete: (client, answer, metadata) =>
      call(client, client.completePhoneSignIn, answer, metadata),
  });
}
