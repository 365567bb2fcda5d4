import { connect, metadataOf } from '../scenarios/scenario.js';
import type { Subject } from '../support/subject.js';

/** The key set as services fetch it. */
export async function keySet(subject: Subject): Promise<{ readonly keys: readonly unknown[] }> {
  const target = { address: subject.address, callerKey: subject.callerKey };
  const client = connect(target);
  try {
    return await new Promise((resolve, reject) =>
      client.getJsonWebKeySet({}, metadataOf(target, 0), (error, response) =>
        error === null ? resolve(JSON.parse(response.jwksJson)) : reject(error),
      ),
    );
  } finally {
    client.close();
  }
}

export async function publicKey(subject: Subject): Promise<unknown> {
  const [key] = (await keySet(subject)).keys;
  return key;
}
