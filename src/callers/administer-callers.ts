import type { Clock } from '../core/clock.js';
import type { Random } from '../core/ids.js';
import { type Db, inTransaction, type Tx } from '../db/index.js';
import {
  type CallerRecord,
  callerKeyId,
  hashCallerKey,
  isCallerName,
  isRpcGroup,
  MAX_LIVE_KEYS,
  newCallerKey,
  type RpcGroup,
  rpcGroups,
} from './caller.js';
import {
  deleteCertificate,
  insertCaller,
  insertCertificate,
  insertKey,
  lockCaller,
  revokeKey,
  selectCallers,
  selectCertificates,
  selectKeys,
} from './caller-store.js';
import { MAX_CERTIFICATE_NAMES, parseCertificateName } from './certificate-name.js';

/** What an operator asked for cannot be done; the message says why, to whoever is at the terminal. */
export class CallerAdministrationError extends Error {
  override readonly name = 'CallerAdministrationError';
}

interface Deps {
  readonly random: Random;
  readonly clock: Clock;
}

export interface NewCaller {
  readonly clock: Clock;
  /** `[a-z][a-z0-9-]{0,62}`: stands in tokens as `client_id`, in logs and in the audit. */
  readonly name: string;
  readonly groups: readonly string[];
  /** Names of client certificates that stand for it: `DNS:…`, `URI:…`. */
  readonly certificates?: readonly string[];
}

/**
 * Registers a calling service with its first key and its certificate names, all or nothing. The key is
 * returned here and nowhere else: only its hash is stored.
 */
export async function addCaller(
  db: Db,
  { random, ...caller }: NewCaller & Pick<Deps, 'random'>,
): Promise<string> {
  const key = newCallerKey(random);
  await insertNew(db, caller, async (tx) => {
    await insertKey(tx, caller.clock, caller.name, hashCallerKey(key));
  });
  return key;
}

/** Registers a calling service that has no key: its certificate says who it is, and nothing else does. */
export async function addKeylessCaller(
  db: Db,
  caller: NewCaller & Required<Pick<NewCaller, 'certificates'>>,
): Promise<void> {
  await insertNew(db, caller, async () => undefined);
}

async function insertNew(
  db: Db,
  { name, groups, certificates = [], clock }: NewCaller,
  andThen: (tx: Tx) => Promise<void>,
): Promise<void> {
  if (!isCallerName(name)) {
    throw new CallerAdministrationError(
      'a caller name has 1 to 63 characters of a-z, 0-9 and "-", a letter first',
    );
  }
  const granted = parseGroups(groups);
  const names = parseCertificates(certificates);
  await inTransaction(db, async (tx) => {
    if (!(await insertCaller(tx, clock, name, granted))) {
      throw new CallerAdministrationError(`there is a caller ${name} already`);
    }
    await insertCertificates(tx, clock, name, names);
    await andThen(tx);
  });
}

export interface CertificateChange {
  readonly name: string;
  readonly certificates: readonly string[];
  readonly clock: Clock;
}

/** Lets a caller be known by further certificate names, all or none. Having one already is no fault. */
export async function addCallerCertificates(
  db: Db,
  { name, certificates, clock }: CertificateChange,
): Promise<void> {
  const names = parseCertificates(certificates);
  await inTransaction(db, async (tx) => {
    requireCaller(await lockCaller(tx, name), name);
    await insertCertificates(tx, clock, name, names);
  });
}

/** Takes certificate names from a caller, all or none. Replicas forget them at their next poll. */
export async function removeCallerCertificates(
  db: Db,
  { name, certificates }: Omit<CertificateChange, 'clock'>,
): Promise<void> {
  const names = parseCertificates(certificates);
  await inTransaction(db, async (tx) => {
    requireCaller(await lockCaller(tx, name), name);
    for (const certificate of names) {
      if (await deleteCertificate(tx, name, certificate)) continue;
      throw new CallerAdministrationError(`${name} has no certificate name ${certificate}`);
    }
  });
}

/** Gives a caller a second key, so that its first can be replaced without a gap. */
export async function addCallerKey(
  db: Db,
  { name, random, clock }: Deps & { readonly name: string },
): Promise<string> {
  const key = newCallerKey(random);
  await inTransaction(db, async (tx) => {
    requireCaller(await lockCaller(tx, name), name);
    if (await insertKey(tx, clock, name, hashCallerKey(key))) return;
    throw new CallerAdministrationError(
      `${name} has ${MAX_LIVE_KEYS} keys, as many as it may: revoke one first`,
    );
  });
  return key;
}

/** Revokes a key by the id that `listCallers` shows. Replicas stop accepting it at their next poll. */
export async function revokeCallerKey(
  db: Db,
  { name, keyId, clock }: { readonly name: string; readonly keyId: string; readonly clock: Clock },
): Promise<void> {
  if (!/^[0-9a-f]{8,64}$/.test(keyId)) {
    throw new CallerAdministrationError(
      'a key id is 8 hex digits, as the list of callers shows it',
    );
  }
  await inTransaction(db, async (tx) => {
    requireCaller(await lockCaller(tx, name), name);
    if ((await revokeKey(tx, clock, name, keyId)) > 0) return;
    throw new CallerAdministrationError(`${name} has no live key ${keyId}`);
  });
}

export async function listCallers(db: Db): Promise<readonly CallerRecord[]> {
  const [callers, keys] = [await selectCallers(db), await selectKeys(db)];
  const certificates = await selectCertificates(db);
  return callers.map((row) => ({
    name: row.caller,
    rpcGroups: row.rpc_groups,
    disabled: row.disabled_at !== null,
    createdAt: row.created_at,
    keys: keys
      .filter((key) => key.caller === row.caller)
      .map((key) => ({ id: callerKeyId(key.key_hash), createdAt: key.created_at })),
    certificates: certificates
      .filter((certificate) => certificate.caller === row.caller)
      .map((certificate) => certificate.certificate_name),
  }));
}

function parseGroups(groups: readonly string[]): readonly RpcGroup[] {
  const known = [...new Set(groups)].filter(isRpcGroup);
  if (known.length > 0 && known.length === new Set(groups).size) return known;
  throw new CallerAdministrationError(`groups are one or more of ${rpcGroups.join(', ')}`);
}

/** In one order, so that two who add the same names at once do not wait for each other. */
function parseCertificates(texts: readonly string[]): readonly string[] {
  const names = texts.map((text) => {
    const name = parseCertificateName(text);
    if (name !== undefined) return name;
    throw new CallerAdministrationError(
      'a certificate name is DNS:host.name or URI:scheme://host/path, without patterns',
    );
  });
  return [...new Set(names)].sort();
}

async function insertCertificates(
  tx: Tx,
  clock: Clock,
  name: string,
  certificates: readonly string[],
): Promise<void> {
  for (const certificate of certificates) {
    const owner = await insertCertificate(tx, clock, name, certificate);
    if (owner === name) continue;
    throw new CallerAdministrationError(
      owner === undefined
        ? `${name} would have more than ${MAX_CERTIFICATE_NAMES} certificate names: remove one first`
        : `${certificate} belongs to the caller ${owner} already`,
    );
  }
}

function requireCaller(found: boolean, name: string): void {
  if (!found) throw new CallerAdministrationError(`there is no caller ${name}`);
}
