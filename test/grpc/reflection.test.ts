import { execFile } from 'node:child_process';
import { promisify } from 'node:util';
import { fromBinary } from '@bufbuild/protobuf';
import { FileDescriptorProtoSchema } from '@bufbuild/protobuf/wkt';
import { credentials, status } from '@grpc/grpc-js';
import { describe, expect, it, onTestFinished, vi } from 'vitest';
import {
  ServerReflectionClient,
  type ServerReflectionRequest,
  type ServerReflectionResponse,
} from '../../generated/grpc/reflection/v1/reflection.js';
import { ServerReflectionClient as AlphaClient } from '../../generated/grpc/reflection/v1alpha/reflection.js';
import {
  createHealth,
  openGrpcServer,
  readDescriptors,
  registerAuthService,
  registerReflection,
} from '../../src/grpc/index.js';
import { collectLog, inertRpcs, newSeen, toyDeps } from './toy-edge.js';

type Asked = NonNullable<ServerReflectionRequest['messageRequest']>;

async function openReflecting(): Promise<string> {
  const seen = newSeen();
  const log = collectLog(seen);
  const server = await openGrpcServer({
    listenAddress: '127.0.0.1:0',
    services: [
      registerAuthService(inertRpcs(), toyDeps(seen, log)),
      ...registerReflection(await readDescriptors()),
    ],
    health: createHealth(['countersign.v1.AuthService']),
    drainMs: 500,
    callTimeoutMs: 5_000,
    log,
  });
  onTestFinished(() => server[Symbol.asyncDispose]());
  return server.address;
}

/** Asks over one stream, and says how it ended. */
async function ask(
  Client: typeof ServerReflectionClient | typeof AlphaClient,
  address: string,
  asked: readonly (Asked | undefined)[],
) {
  const client = new Client(address, credentials.createInsecure());
  onTestFinished(() => client.close());
  const stream = client.serverReflectionInfo();
  const answers: ServerReflectionResponse[] = [];
  const ended = new Promise<number>((resolve) => {
    stream.on('data', (answer) => answers.push(answer));
    stream.on('error', () => undefined);
    stream.on('status', ({ code }) => resolve(code));
  });
  for (const messageRequest of asked) stream.write({ host: 'h', messageRequest });
  stream.end();
  return { code: await ended, answers: answers.map(({ messageResponse }) => messageResponse) };
}

const listServices: Asked = { $case: 'listServices', value: '' };

describe.each([
  ['v1', ServerReflectionClient],
  ['v1alpha', AlphaClient],
])('reflection %s (O6)', (_, Client) => {
  it('lists every service that is served', async () => {
    const { answers, code } = await ask(Client, await openReflecting(), [listServices]);
    expect(code).toBe(status.OK);
    expect(answers).toEqual([
      {
        $case: 'listServicesResponse',
        value: {
          service: [
            { name: 'countersign.v1.AuthService' },
            { name: 'grpc.health.v1.Health' },
            { name: 'grpc.reflection.v1.ServerReflection' },
            { name: 'grpc.reflection.v1alpha.ServerReflection' },
          ],
        },
      },
    ]);
  });

  it.each([
    ['countersign.v1.AuthService', 'countersign/v1/auth_service.proto'],
    ['countersign.v1.AuthService.SignIn', 'countersign/v1/auth_service.proto'],
    ['countersign.v1.SignInRequest', 'countersign/v1/auth_service.proto'],
    ['countersign.v1.SignInRequest.identifier', 'countersign/v1/auth_service.proto'],
    ['countersign.v1.IdentifierType', 'countersign/v1/account.proto'],
    ['countersign.v1.IDENTIFIER_TYPE_PHONE', 'countersign/v1/account.proto'],
    ['google.rpc.BadRequest.FieldViolation', 'google/rpc/error_details.proto'],
    ['google.protobuf.Timestamp', 'google/protobuf/timestamp.proto'],
    ['grpc.health.v1.HealthCheckResponse.ServingStatus', 'grpc/health/v1/health.proto'],
  ])('finds the file of %s', async (symbol, name) => {
    const asked: Asked = { $case: 'fileContainingSymbol', value: symbol };
    const { answers } = await ask(Client, await openReflecting(), [asked]);
    const [answer] = answers;
    if (answer?.$case !== 'fileDescriptorResponse') throw new Error(`got ${answer?.$case}`);
    const [file = Buffer.alloc(0)] = answer.value.fileDescriptorProto;
    expect(fromBinary(FileDescriptorProtoSchema, file).name).toBe(name);
  });

  it('answers what it does not have with an error of its own, and goes on', async () => {
    const { answers, code } = await ask(Client, await openReflecting(), [
      { $case: 'fileByFilename', value: 'nothing.proto' },
      { $case: 'fileContainingSymbol', value: 'countersign.v1.Nothing' },
      { $case: 'fileContainingSymbol', value: '__proto__' },
      {
        $case: 'fileContainingExtension',
        value: { containingType: 'countersign.v1.Account', extensionNumber: 9 },
      },
      { $case: 'allExtensionNumbersOfType', value: 'countersign.v1.Nothing' },
      { $case: 'allExtensionNumbersOfType', value: 'countersign.v1.Account' },
      undefined,
    ]);
    expect(code).toBe(status.OK);
    const codes = answers.map((answer) =>
      answer?.$case === 'errorResponse' ? answer.value.errorCode : answer,
    );
    const { NOT_FOUND, INVALID_ARGUMENT } = status;
    expect(codes).toEqual([
      ...Array.from({ length: 5 }, () => NOT_FOUND),
      {
        $case: 'allExtensionNumbersResponse',
        value: { baseTypeName: 'countersign.v1.Account', extensionNumber: [] },
      },
      INVALID_ARGUMENT,
    ]);
  });

  it('ends a stream that asks without end', async () => {
    const asked = Array.from({ length: 1_200 }, () => listServices);
    const { answers, code } = await ask(Client, await openReflecting(), asked);
    expect(code).toBe(status.RESOURCE_EXHAUSTED);
    expect(answers.length).toBeLessThanOrEqual(1_000);
  });
});

it('takes a bounded number of streams from one connection, and others again once they end', async () => {
  const client = new ServerReflectionClient(await openReflecting(), credentials.createInsecure());
  onTestFinished(() => client.close());
  const open = () => {
    const stream = client.serverReflectionInfo();
    const answer = new Promise<number | string>((resolve) => {
      stream.on('data', () => resolve('answered'));
      stream.on('error', () => undefined);
      stream.on('status', ({ code }) => resolve(code));
    });
    stream.write({ host: '', messageRequest: listServices });
    return { stream, answer };
  };
  const opened = Array.from({ length: 5 }, open);
  expect(await Promise.all(opened.map(({ answer }) => answer))).toEqual([
    ...Array.from({ length: 4 }, () => 'answered'),
    status.RESOURCE_EXHAUSTED,
  ]);
  opened[0]?.stream.end();
  await vi.waitFor(async () => expect(await open().answer).toBe('answered'));
  for (const { stream } of opened) stream.cancel();
});

it('gives every import of every file it gives', async () => {
  const { files } = await readDescriptors();
  for (const bytes of files.values()) {
    for (const name of fromBinary(FileDescriptorProtoSchema, bytes).dependency) {
      expect([...files.keys()]).toContain(name);
    }
  }
});

describe('buf curl', () => {
  const run = promisify(execFile);
  const buf = async (...args: string[]) => {
    const options = ['curl', '--protocol', 'grpc', '--http2-prior-knowledge', ...args];
    return (await run('node_modules/.bin/buf', options, { timeout: 20_000 })).stdout;
  };

  it('lists the methods', async () => {
    const listed = await buf('--list-methods', `http://${await openReflecting()}`);
    expect(listed).toContain('countersign.v1.AuthService/SignUp\n');
    expect(listed).toContain('grpc.health.v1.Health/Check\n');
  });

  it('calls, and reads what comes back', async () => {
    const address = await openReflecting();
    const request = JSON.stringify({
      identifier: 'ada',
      password: 'secret',
      scope: { organizationId: 'x' },
    });
    const answer = await buf('-d', request, `http://${address}/countersign.v1.AuthService/SignIn`);
    expect(JSON.parse(answer)).toEqual({ accountId: 'account-1' });
  });
});
