import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { createApp } from '../../src/app.js';
import {
  addCaller,
  addCallerCertificates,
  addKeylessCaller,
  createCallerDirectory,
  listCallers,
  removeCallerCertificates,
} from '../../src/callers/index.js';
import {
  type AuthClient,
  CountersignError,
  createCountersignClient,
} from '../../src/client/index.js';
import { systemClock as clock } from '../../src/core/clock.js';
import { systemRandom as random } from '../../src/core/ids.js';
import type { Db } from '../../src/db/index.js';
import { eventually } from '../resilience/eventually.js';
import { type Authority, LOCAL_NAMES, makeAuthority } from '../support/certificates.js';
import { eachDatabase, silentLog, type TestDatabase, testDatabase } from '../support/databases.js';
import { PASSWORD, unique } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';

const groups = ['sign-in'];
const add = (db: Db, name: string, certificates: readonly string[]) =>
  addKeylessCaller(db, { name, groups, certificates, clock });

async function emptied(db: Db): Promise<Db> {
  await sql`delete from caller_certificates`.execute(db);
  await sql`delete from caller_keys`.execute(db);
  await sql`delete from callers`.execute(db);
  return db;
}

eachDatabase('certificate names', (database) => {
  it('find their caller, who needs no key', async () => {
    const db = await emptied(database().db);
    await add(db, 'bff', ['DNS:BFF.internal', 'URI:spiffe://example.org/Bff']);
    await add(db, 'shop', ['DNS:shop.internal']);
    const directory = createCallerDirectory({ db, clock, log: silentLog });
    onTestFinished(() => directory[Symbol.asyncDispose]());
    const find = async (...names: readonly string[]) => {
      const found = await directory.findByCertificate(names);
      return typeof found === 'object' ? found.name : found;
    };
    expect(await find('DNS:bff.internal')).toBe('bff');
    expect(await find('DNS:bff.internal', 'URI:spiffe://example.org/Bff')).toBe('bff');
    expect(await find('DNS:other.internal', 'DNS:shop.internal')).toBe('shop');
    expect(await find('URI:spiffe://example.org/bff')).toBeUndefined();
    // Two services at once: it cannot be said which.
    expect(await find('DNS:bff.internal', 'DNS:shop.internal')).toBe('refused');
    await sql`update callers set disabled_at = now() where caller = 'shop'`.execute(db);
    await removeCallerCertificates(db, { name: 'bff', certificates: ['DNS:bff.internal'] });
    await directory.refresh();
    expect([await find('DNS:shop.internal'), await find('DNS:bff.internal')]).toEqual([
      'refused',
      undefined,
    ]);
  });

  it('belong to one caller, also when several are given one at once', async () => {
    const db = await emptied(database().db);
    const names = Array.from({ length: 6 }, (_, i) => `caller-${i}`);
    const added = await Promise.allSettled(
      names.map((name) => add(db, name, ['DNS:bff.internal'])),
    );
    expect(added.filter(({ status }) => status === 'fulfilled')).toHaveLength(1);
    const all = await listCallers(db);
    expect(all.map(({ certificates }) => certificates)).toEqual([['DNS:bff.internal']]);
    await expect(add(db, 'late', ['DNS:late.internal', 'DNS:bff.internal'])).rejects.toThrow(
      `DNS:bff.internal belongs to the caller ${all[0]?.name} already`,
    );
    expect(await listCallers(db)).toHaveLength(1);
  });

  it('are few, exact, and all added or none', async () => {
    const db = await emptied(database().db);
    const many = Array.from({ length: 8 }, (_, i) => `DNS:n${i}.internal`);
    await add(db, 'bff', many);
    const change = (...certificates: readonly string[]) =>
      addCallerCertificates(db, { name: 'bff', certificates, clock });
    await expect(change('DNS:one-more.internal')).rejects.toThrow('more than 8');
    await expect(change('DNS:*.internal')).rejects.toThrow('a certificate name is');
    // Has them already.
    await change('DNS:n0.internal');
    const remove = (name: string, ...certificates: readonly string[]) =>
      removeCallerCertificates(db, { name, certificates });
    await expect(remove('bff', 'DNS:n0.internal', 'DNS:x.internal')).rejects.toThrow(
      'bff has no certificate name DNS:x.internal',
    );
    await expect(remove('nobody', 'DNS:n0.internal')).rejects.toThrow('there is no caller nobody');
    expect((await listCallers(db))[0]?.certificates).toEqual(many);
  });
});

describe('callers by certificate, in a whole server', () => {
  let folder: string;
  let clients: Authority;
  let servers: Authority;
  let env: Readonly<Record<string, string>>;
  let database: TestDatabase;
  let app: TestApp;

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'countersign-mutual-'));
    [clients, servers] = await Promise.all([makeAuthority(), makeAuthority()]);
    const pair = await servers.issue({ names: LOCAL_NAMES, use: 'serverAuth' });
    const files = { crt: pair.certificate, key: pair.key, ca: clients.certificate };
    for (const [name, pem] of Object.entries(files)) await writeFile(join(folder, name), pem);
    env = {
      TLS_CERT_FILE: join(folder, 'crt'),
      TLS_KEY_FILE: join(folder, 'key'),
      TLS_CLIENT_CA_FILE: join(folder, 'ca'),
    };
    database = await testDatabase();
    app = await startTestApp({ env, database });
    await addKeylessCaller(app.db, {
      ...{ name: 'bff', groups: ['sign-up', 'sign-in', 'session'], clock },
      certificates: ['URI:spiffe://example.org/bff'],
    });
    await addKeylessCaller(app.db, {
      ...{ name: 'shop', groups: ['session', 'introspection'], clock },
      certificates: ['DNS:shop.internal'],
    });
  });
  afterAll(async () => {
    await app?.[Symbol.asyncDispose]();
    await database?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function connect(names: readonly string[], callerKey?: string): Promise<AuthClient> {
    const shown = await clients.issue({ names });
    const client = createCountersignClient({
      address: app.address.replace('127.0.0.1', 'localhost'),
      credentials: { ca: servers.certificate, cert: shown.certificate, key: shown.key },
      callerKey,
      deadlineMs: 15_000,
    });
    onTestFinished(() => client.close());
    return client.auth;
  }
  const reasonOf = (call: Promise<unknown>): Promise<string | undefined> =>
    call.then(
      () => 'OK',
      (error: unknown) => (error instanceof CountersignError ? error.reason : 'OTHER'),
    );

  it('stand in tokens, and refresh what was issued to them and nobody else', async () => {
    const [bff, shop] = [
      await connect(['URI:spiffe://example.org/bff']),
      await connect(['DNS:shop.internal']),
    ];
    // Names work within two seconds: until then the certificate names nobody, who may do everything here.
    await eventually(
      'the caller was known',
      async () =>
        (await reasonOf(bff.introspectToken({ accessToken: 'x' }))) === 'CALLER_NOT_ALLOWED',
    );
    const { tokens } = await bff.signUp({ username: unique.username(), password: PASSWORD });
    const told = await shop.introspectToken({ accessToken: tokens?.accessToken ?? '' });
    expect(told).toMatchObject({ active: true, clientId: 'bff' });
    const refreshToken = tokens?.refreshToken ?? '';
    expect(await reasonOf(shop.refreshSession({ refreshToken }))).toBe('REFRESH_TOKEN_INVALID');
    expect(await reasonOf(bff.refreshSession({ refreshToken }))).toBe('OK');
    expect(await reasonOf(shop.signUp({ username: unique.username(), password: PASSWORD }))).toBe(
      'CALLER_NOT_ALLOWED',
    );
  });

  it('are not who they have a key of', async () => {
    const key = await addCaller(app.db, {
      name: 'admin',
      groups: ['account', 'keys'],
      random,
      clock,
    });
    const shop = await connect(['DNS:shop.internal'], key);
    expect(await reasonOf(shop.getJsonWebKeySet({}))).toBe('CALLER_NOT_ALLOWED');
  });

  it('are enough to start off loopback, where client certificates are asked for', async () => {
    const start = async (config: typeof app.config): Promise<void> => {
      const { transports } = app.mailbox;
      const overrides = { database, transports, hasher: app.hasher };
      const own = await createApp({ ...config, anonymousCallers: false }, silentLog, overrides);
      await own[Symbol.asyncDispose]();
    };
    await sql`delete from caller_keys`.execute(app.db);
    const { tls, ...plain } = app.config;
    await start({ ...plain, ...(tls === undefined ? {} : { tls }) });
    await expect(start(plain)).rejects.toThrow('no caller has a key, so every call');
  });
});
