import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { ServerCredentials } from '@grpc/grpc-js';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  CountersignError,
  createCountersignClient,
  type TlsCredentials,
} from '../../src/client/index.js';
import { type FakeAuthService, startFakeAuthService } from './fake-auth-service.js';

/** A self-signed certificate for loopback, which is its own authority. */
async function makeCertificate(
  folder: string,
  name: string,
): Promise<{ key: string; cert: string }> {
  const [key, cert] = [join(folder, `${name}.key`), join(folder, `${name}.crt`)];
  const subject = ['-subj', `/CN=${name}`, '-addext', 'subjectAltName=DNS:localhost,IP:127.0.0.1'];
  const kind = [
    '-newkey',
    'ec',
    '-pkeyopt',
    'ec_paramgen_curve:prime256v1',
    '-nodes',
    '-days',
    '1',
  ];
  await promisify(execFile)('openssl', [
    'req',
    '-x509',
    ...kind,
    ...subject,
    '-keyout',
    key,
    '-out',
    cert,
  ]);
  return { key: await readFile(key, 'utf8'), cert: await readFile(cert, 'utf8') };
}

let folder: string;
let fake: FakeAuthService;
let server: { key: string; cert: string };
let caller: { key: string; cert: string };

beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'client-tls-'));
  [server, caller] = await Promise.all([
    makeCertificate(folder, 'server'),
    makeCertificate(folder, 'caller'),
  ]);
  const pair = { private_key: Buffer.from(server.key), cert_chain: Buffer.from(server.cert) };
  fake = await startFakeAuthService(
    ServerCredentials.createSsl(Buffer.from(caller.cert), [pair], true),
  );
  fake.on('GetAccount', () => ({ response: {} }));
});

afterAll(async () => {
  await fake[Symbol.asyncDispose]();
  await rm(folder, { recursive: true });
});

async function call(credentials?: TlsCredentials): Promise<string> {
  // By name: certificates for bare addresses make Node warn.
  const address = fake.address.replace('127.0.0.1', 'localhost');
  const client = createCountersignClient({ address, credentials });
  try {
    await client.auth.getAccount({});
    return 'answered';
  } catch (error) {
    return error instanceof CountersignError ? error.codeName : String(error);
  } finally {
    client.close();
  }
}

describe('TLS on the wire', () => {
  it('reaches a server that asks for a client certificate', async () => {
    expect(await call({ ca: server.cert, cert: caller.cert, key: Buffer.from(caller.key) })).toBe(
      'answered',
    );
  });

  it('trusts no server beyond the authorities it was given', async () => {
    expect(await call({ ca: caller.cert, cert: caller.cert, key: caller.key })).toBe('UNAVAILABLE');
    expect(await call({ cert: caller.cert, key: caller.key })).toBe('UNAVAILABLE');
  });

  it('does not get in without the certificate, nor in plaintext', async () => {
    expect(await call({ ca: server.cert })).toBe('UNAVAILABLE');
    expect(await call()).toBe('UNAVAILABLE');
  });
});
