import { execFile } from 'node:child_process';
import { chmod, chown, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { openDatabase, untilAborted } from '../../src/db/index.js';
import { silentLog } from '../support/databases.js';
import {
  describePooled,
  type PrivatePgbouncer,
  startPrivatePgbouncer,
} from '../support/private-pgbouncer.js';
import {
  type PrivatePostgres,
  serverUser,
  startPrivatePostgres,
} from '../support/private-postgres.js';

const gone = new Error('the caller has left');

describePooled('cancellation over TLS', {}, () => {
  let folder: string;
  let postgres: PrivatePostgres;
  let pooler: PrivatePgbouncer;
  let files: { readonly key: string; readonly cert: string };

  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), 'countersign-tls-'));
    files = await makeCertificate(folder);
    postgres = await startPrivatePostgres({
      ssl: 'on',
      ssl_cert_file: files.cert,
      ssl_key_file: files.key,
    });
    pooler = await startPrivatePgbouncer(postgres.url, {
      server_tls_sslmode: 'require',
      client_tls_sslmode: 'verify-ca',
      client_tls_cert_file: files.cert,
      client_tls_key_file: files.key,
      client_tls_ca_file: files.cert,
    });
  });
  afterAll(async () => {
    await pooler?.[Symbol.asyncDispose]();
    await postgres?.[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  const urlOf = (port: number, parameters: Readonly<Record<string, string>>): string => {
    const url = new URL(`postgres://postgres@localhost:${port}/postgres`);
    url.search = new URLSearchParams(parameters).toString();
    return url.href;
  };
  const verified = () => ({ sslmode: 'verify-full', sslrootcert: files.cert });

  it.each([
    ['sslmode=require', () => urlOf(postgres.port, { sslmode: 'require', uselibpqcompat: 'true' })],
    ['sslmode=verify-full', () => urlOf(postgres.port, verified())],
    [
      'a pooler that asks for our certificate',
      () => urlOf(pooler.port, { ...verified(), sslcert: files.cert, sslkey: files.key }),
    ],
  ])('interrupts the statement and keeps the connection: %s', async (_what, url) => {
    await using one = await openDatabase({ url: url() }, { log: silentLog, maxConnections: 1 });
    const backend = async () =>
      (
        await sql<{ pid: number; ssl: boolean }>`
          select pid, ssl from pg_stat_ssl where pid = pg_backend_pid()`.execute(one.db)
      ).rows[0];
    const before = await backend();
    expect(before?.ssl).toBe(true);
    const controller = new AbortController();
    setTimeout(() => controller.abort(gone), 50);
    const started = performance.now();
    const call = sql`select pg_sleep(${20})`.execute(untilAborted(controller.signal, one.db));
    await expect(call).rejects.toBe(gone);
    // Within the grace: without an interruption the connection would be given up, and be another one.
    expect(performance.now() - started).toBeLessThan(1_500);
    expect(await backend()).toEqual(before);
  });
});

/** A self-signed certificate for loopback, which is its own authority, as the servers want its files. */
async function makeCertificate(folder: string): Promise<{ key: string; cert: string }> {
  const [key, cert] = [join(folder, 'server.key'), join(folder, 'server.crt')];
  await promisify(execFile)('openssl', [
    ...['req', '-x509', '-nodes', '-days', '1', '-newkey', 'ec'],
    ...['-pkeyopt', 'ec_paramgen_curve:prime256v1', '-subj', '/CN=postgres'],
    ...['-addext', 'subjectAltName=DNS:localhost', '-keyout', key, '-out', cert],
  ]);
  await chmod(key, 0o600);
  const user = await serverUser();
  if (user !== undefined) {
    for (const path of [folder, key, cert]) await chown(path, user.uid, user.gid);
  }
  return { key, cert };
}
