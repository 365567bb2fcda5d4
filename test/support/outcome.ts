import { CountersignError } from '../../src/client/index.js';

/** `OK`, or the reason of a refusal. */
export async function outcomeOf(call: Promise<unknown>): Promise<string> {
  try {
    await call;
    return 'OK';
  } catch (error) {
    if (error instanceof CountersignError) return error.reason;
    throw error;
  }
}
