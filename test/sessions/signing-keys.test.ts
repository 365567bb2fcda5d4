import { generateKeyPairSync } from 'node:crypto';
import { calculateJwkThumbprint } from 'jose';
import { sql } from 'kysely';
import { afterEach, describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import { deriveKeyRing, type KeyRing, keyRing } from '../../src/core/keys.js';
import { type Db, openDatabase } from '../../src/db/index.js';
import { createSigningKeys } from '../../src/sessions/index.js';
import { generateSigningKey } from '../../src/sessions/signing-key.js';
import { describePostgres, eachDatabase, silentLog } from '../support/databases.js';
import { newTokenKeys } from './fixtures.js';

const open = (db: Db, tokenKeys: KeyRing) =>
  createSigningKeys({ db, tokenKeys, clock: systemClock, random: systemRandom, log: silentLog });

/** What a rotation will do. */
async function addKey(db: Db, tokenKeys: KeyRing, activeInSeconds: number): Promise<string> {
  const key = await generateSigningKey(deriveKeyRing(tokenKeys, 'signing-key'), systemRandom);
  await sql`insert into signing_keys
      (kid, algorithm, public_jwk, private_sealed, created_at, active_from)
    values (${key.kid}, 'EdDSA', ${JSON.stringify(key.publicJwk)}::jsonb, ${key.privateSealed},
      clock_timestamp(), clock_timestamp() + make_interval(secs => ${activeInSeconds}))`.execute(
    db,
  );
  return key.kid;
}

eachDatabase('signing keys', (database) => {
  afterEach(async () => {
    await sql`delete from signing_keys`.execute(database().db);
  });

  it('make one Ed25519 key at the first start and find it at the next', async () => {
    const { db } = database();
    const tokenKeys = newTokenKeys();
    await using first = await open(db, tokenKeys);
    await using second = await open(db, tokenKeys);
    const { kid, publicKey, publicJwk } = first.current();
    expect(publicKey.asymmetricKeyType).toBe('ed25519');
    expect(kid).toBe(await calculateJwkThumbprint(publicJwk));
    expect(second.current().kid).toBe(kid);
    expect(second.find(kid)?.publicJwk).toEqual(publicJwk);
    expect(second.find('another')).toBeUndefined();
  });

  it('keep the private part encrypted at rest, and out of the key set (rule 19)', async () => {
    const { db } = database();
    await using keys = await open(db, newTokenKeys());
    const { privateKey, kid } = keys.current();
    const seed = Buffer.from(privateKey.export({ format: 'jwk' }).d ?? '', 'base64url');
    expect(seed).toHaveLength(32);
    const { rows } = await sql<{ dump: string }>`
      select signing_keys::text as dump from signing_keys`.execute(db);
    expect(rows[0]?.dump).not.toContain(seed.toString('hex'));
    expect(rows[0]?.dump).not.toContain(seed.toString('base64url'));
    expect(JSON.parse(keys.jwks())).toEqual({
      keys: [{ kty: 'OKP', crv: 'Ed25519', x: expect.any(String), kid, use: 'sig', alg: 'EdDSA' }],
    });
  });

  it('say which key the configured TOKEN_KEYS do not open', async () => {
    const { db } = database();
    const tokenKeys = newTokenKeys();
    await using keys = await open(db, tokenKeys);
    const failure = `${keys.current().kid} cannot be opened with the configured TOKEN_KEYS`;
    await expect(open(db, newTokenKeys())).rejects.toThrow(failure);
    const rotated = keyRing([systemRandom.bytes(32), tokenKeys.current.key]);
    await using after = await open(db, rotated);
    expect(after.current().kid).toBe(keys.current().kid);
  });

  it('publish a key before it signs, and drop it when it is retired (rule 19)', async () => {
    const { db } = database();
    const tokenKeys = newTokenKeys();
    await using keys = await open(db, tokenKeys);
    const first = keys.current().kid;
    const second = await addKey(db, tokenKeys, 3_600);
    await keys.reload();
    expect(keys.current().kid).toBe(first);
    expect(keys.jwks()).toContain(second);
    await sql`update signing_keys set active_from = clock_timestamp() where kid = ${second}`.execute(
      db,
    );
    await keys.reload();
    expect(keys.current().kid).toBe(second);
    expect(keys.find(first)).toBeDefined();
    await sql`update signing_keys set retired_at = clock_timestamp() where kid = ${first}`.execute(
      db,
    );
    await keys.reload();
    expect(keys.find(first)).toBeUndefined();
    expect(keys.jwks()).not.toContain(first);
  });

  it('do not trust a key that somebody wrote into the table without TOKEN_KEYS', async () => {
    const { db } = database();
    await using keys = await open(db, newTokenKeys());
    const before = keys.jwks();
    const forged = await addKey(db, newTokenKeys(), -1);
    await expect(keys.reload()).rejects.toThrow('cannot be opened');
    expect(keys.find(forged)).toBeUndefined();
    expect(keys.jwks()).toBe(before);
  });

  it('take the public part from the private one, not from the table', async () => {
    const { db } = database();
    const tokenKeys = newTokenKeys();
    await using keys = await open(db, tokenKeys);
    const swapped = generateKeyPairSync('ed25519').publicKey.export({ format: 'jwk' });
    await sql`update signing_keys set public_jwk = ${JSON.stringify(swapped)}::jsonb`.execute(db);
    await using after = await open(db, tokenKeys);
    expect(after.jwks()).toBe(keys.jwks());
  });
});

describePostgres('signing keys of many processes', (database) => {
  it('are one when 20 processes start at once', async () => {
    const tokenKeys = newTokenKeys();
    const opened = await Promise.all(
      Array.from({ length: 20 }, () =>
        openDatabase({ url: database().url }, { log: silentLog, maxConnections: 1 }),
      ),
    );
    const all = await Promise.all(opened.map(({ db }) => open(db, tokenKeys)));
    const { rows } = await sql<{ kid: string }>`select kid from signing_keys`.execute(
      database().db,
    );
    expect(rows).toHaveLength(1);
    expect(new Set(all.map((keys) => keys.current().kid))).toEqual(new Set([rows[0]?.kid]));
    for (const keys of all) await keys[Symbol.asyncDispose]();
    for (const each of opened) await each[Symbol.asyncDispose]();
  });
});

describe('reloading', () => {
  it('is heard of when it fails, and keeps the last known keys', async () => {
    const opened = await openDatabase({ dataDir: 'memory:' }, { log: silentLog });
    await sql`create table signing_keys (kid text, algorithm text, public_jwk jsonb, private_sealed bytea,
      created_at timestamptz, active_from timestamptz, retired_at timestamptz)`.execute(opened.db);
    let heard: (message: string) => void = () => {};
    const failed = new Promise<string>((resolve) => {
      heard = resolve;
    });
    await using keys = await createSigningKeys({
      db: opened.db,
      tokenKeys: newTokenKeys(),
      clock: systemClock,
      random: systemRandom,
      log: { ...silentLog, error: (_fields, message) => heard(message) },
      reloadMs: 1,
    });
    const { kid } = keys.current();
    await opened[Symbol.asyncDispose]();
    expect(await failed).toContain('could not be read again');
    expect(keys.current().kid).toBe(kid);
  });
});
