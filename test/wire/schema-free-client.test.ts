import { fileURLToPath } from 'node:url';
import { credentials, loadPackageDefinition, type ServiceError } from '@grpc/grpc-js';
import { load } from '@grpc/proto-loader';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { PASSWORD, unique } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';

/**
 * A client that knows nothing but the .proto files: what somebody in another language sees. It shows
 * that the contract and the generated code agree on the wire.
 */
type Method = (
  request: object,
  answer: (error: ServiceError | null, response: Record<string, unknown>) => void,
) => void;

async function connect(address: string) {
  const includeDirs = [fileURLToPath(new URL('../../proto', import.meta.url))];
  const options = {
    includeDirs,
    keepCase: true,
    longs: String,
    enums: String,
    defaults: true,
    oneofs: true,
  };
  const definition = await load('countersign/v1/auth_service.proto', options);
  const { countersign } = loadPackageDefinition(definition) as unknown as {
    countersign: { v1: { AuthService: new (...args: unknown[]) => Record<string, Method> } };
  };
  const client = new countersign.v1.AuthService(address, credentials.createInsecure());
  const call = (rpc: string, request: object) =>
    new Promise<Record<string, unknown>>((resolve, reject) => {
      client[rpc]?.call(client, request, (error, response) =>
        error === null ? resolve(response) : reject(error),
      );
    });
  return { call, close: () => (client as unknown as { close(): void }).close() };
}

describe('a client made from the .proto files alone', () => {
  let app: TestApp;
  let client: Awaited<ReturnType<typeof connect>>;
  beforeAll(async () => {
    app = await startTestApp();
    client = await connect(app.address);
  });
  afterAll(async () => {
    client.close();
    await app[Symbol.asyncDispose]();
  });

  it('signs up, confirms and signs in, with the names and enums of the contract', async () => {
    const username = unique.username();
    const phone = unique.phone();
    const made = await client.call('SignUp', { username, password: PASSWORD, phone_number: phone });
    expect(made).toMatchObject({
      account: {
        status: 'ACCOUNT_STATUS_ACTIVE',
        identifiers: [
          {
            type: 'IDENTIFIER_TYPE_USERNAME',
            value: username,
            verified: true,
            sign_in_enabled: true,
          },
          { type: 'IDENTIFIER_TYPE_PHONE', value: phone, verified: false, verify_time: null },
        ],
      },
      tokens: { token_type: 'Bearer', expires_in: 900, refresh_expires_in: 2_592_000 },
      challenges: [{ channel: 'CHANNEL_SMS' }],
    });
    const [challenge] = made['challenges'] as { challenge_id: string }[];
    await app.mailbox.waitFor(({ to }) => to === phone);
    const proven = await client.call('ConfirmPhoneNumber', {
      challenge_id: challenge?.challenge_id,
      code: app.mailbox.codeFor(phone),
    });
    expect(proven).toMatchObject({ identifier: { value: phone, verified: true } });
    const signedIn = await client.call('SignIn', { identifier: phone, password: PASSWORD });
    expect(signedIn).toMatchObject({ tokens: { token_type: 'Bearer' } });
  });

  it('reads the reason of a failure out of the standard status details', async () => {
    const failed = await client
      .call('SignIn', { identifier: 'nobody', password: 'wrong' })
      .catch((error: ServiceError) => error);
    const details = (failed as ServiceError).metadata.get('grpc-status-details-bin')[0];
    expect(String(details)).toContain('CREDENTIALS_INVALID');
  });
});
