/** What the product really sends for a call: it runs in this process, for two people, and is listened to. */
import { createHash, randomBytes } from 'node:crypto';
import { join } from 'node:path';
import pg from 'pg';
import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config/index.js';
import { recordStatements, type SentStatement } from '../../test/plans/statements.js';
import { isBackground } from '../../test/security/watched-database.js';
import { createMailbox, type Mailbox } from '../../test/support/mailbox.js';
import type { Templates } from '../floors/templates.js';
import { call, connect, metadataOf } from '../scenarios/scenario.js';
import { Cleanup } from './cleanup.js';
import { type SeededPerson, seedPeople } from './people.js';
import { makeProductSchema } from './product-schema.js';
import { temporaryFolder } from './program.js';
import { createDatabase, redisKeys } from './services.js';
import { LIFTED_LIMITS } from './subject.js';
import { type Sample, templateOf } from './template-of.js';

const CALLER = 'bench';
const log = { debug() {}, info() {}, warn() {}, error() {} };

interface Walk {
  readonly send: readonly Sample[];
  readonly confirm: readonly Sample[];
  readonly refresh: readonly Sample[];
  readonly destinationBytes: number;
}

/** Throws where the product sends more or fewer statements than model.md's table has, or unknown values. */
export async function recordTemplates(): Promise<Templates> {
  await using cleanup = new Cleanup();
  const folder = cleanup.add(temporaryFolder());
  const database = cleanup.add(await createDatabase());
  const redis = cleanup.add(redisKeys());
  const callerKey = await makeProductSchema(database.url, CALLER);
  const tokenKey = randomBytes(32);
  const mailbox = createMailbox();
  const config = loadConfig({
    LISTEN_ADDRESS: '127.0.0.1:0',
    HTTP_ADDRESS: '127.0.0.1:0',
    DATA_DIR: join(folder.path, 'data'),
    TOKEN_KEYS: tokenKey.toString('base64'),
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    REDIS_KEY_PREFIX: redis.prefix,
    ...LIFTED_LIMITS,
  });
  const app = cleanup.add(await createApp(config, log, { transports: mailbox.transports }));
  const seeded = { databaseUrl: database.url, tokenKey, callerName: CALLER };
  const people = await seedPeople(seeded, 2, 0);
  const walks: Walk[] = [];
  const target = { address: app.grpcAddress, callerKey };
  // The second is refreshed twice: generations differ too.
  for (const [generation, person] of people.entries()) {
    walks.push(await walk({ target, mailbox, databaseUrl: database.url }, person, generation));
  }
  const [one, other] = walks;
  if (one === undefined || other === undefined) throw new Error('nobody was seeded');
  const templates = (rpc: 'send' | 'confirm' | 'refresh') =>
    one[rpc].map((sample, i) => {
      const rival = other[rpc][i];
      if (rival === undefined) throw new Error(`${rpc}: one trip for one, two for another`);
      return templateOf(`${rpc} ${i + 1}`, sample, rival);
    });
  const [send] = templates('send');
  const [count, redeem] = templates('confirm');
  const [refresh] = templates('refresh');
  if (!send || !count || !redeem || !refresh) throw new Error('a trip is missing');
  return {
    send: [send],
    confirm: [count, redeem],
    refresh: [refresh],
    destinationBytes: one.destinationBytes,
  };
}

interface Door {
  readonly target: { readonly address: string; readonly callerKey: string };
  readonly mailbox: Mailbox;
  readonly databaseUrl: string;
}

/** One person's calls. `generation`: that of the refresh token whose refresh is noted. */
async function walk(door: Door, person: SeededPerson, generation: number): Promise<Walk> {
  const client = connect(door.target);
  try {
    const metadata = metadataOf(door.target, 0, person.accessToken);
    const request = { phoneNumber: person.phone };
    const sent = await listen(1, () =>
      call(client, client.sendPhoneVerificationCode, request, metadata),
    );
    const challengeId = sent.response.challenge?.challengeId ?? '';
    const slot = await slotOf(door.databaseUrl, challengeId);
    await door.mailbox.waitFor(({ to }) => to === person.phone);
    const confirmation = { challengeId, code: door.mailbox.codeFor(person.phone) };
    const confirmed = await listen(2, () =>
      call(client, client.confirmPhoneNumber, confirmation, metadata),
    );

    const refresh = (refreshToken: string) =>
      listen(1, () => call(client, client.refreshSession, { refreshToken }, metadata));
    let presented = person.refreshToken;
    for (let nth = 0; nth < generation; nth += 1) {
      presented = (await refresh(presented)).response.tokens?.refreshToken ?? '';
    }
    const refreshed = await refresh(presented);
    const successor = refreshed.response.tokens?.refreshToken ?? '';

    const { sub, sid, auth_time } = claimsOf(person.accessToken);
    const session = { accountId: is(sub), sessionId: is(sid) };
    const ofCode = {
      ...session,
      phone: is(person.phone),
      authTime: is(new Date(auth_time * 1_000).toISOString()),
      challengeId: is(challengeId),
      addressSubject: is(slot.address_subject),
      destinationSealed: is(slot.destination_sealed),
      codeHash: is(slot.code_hash),
      codeMac: (value: unknown) =>
        Buffer.isBuffer(value) && hash(value, uuidBytes(challengeId)).equals(slot.code_hash),
    };
    const ofRefresh = {
      ...session,
      generation: is(generation),
      tokenHash: is(hash(tokenBytes(presented))),
      successorHash: is(hash(tokenBytes(successor))),
    };
    return {
      send: sent.statements.map((statement) => ({ statement, known: ofCode })),
      confirm: confirmed.statements.map((statement) => ({ statement, known: ofCode })),
      refresh: refreshed.statements.map((statement) => ({ statement, known: ofRefresh })),
      destinationBytes: slot.destination_sealed.length,
    };
  } finally {
    client.close();
  }
}

/** The answer of a call and what it sent, without what workers send meanwhile. */
async function listen<T>(
  trips: number,
  work: () => Promise<{ readonly outcome: string; readonly response?: T | undefined }>,
): Promise<{ readonly response: T; readonly statements: readonly SentStatement[] }> {
  using recording = recordStatements();
  const { outcome, response } = await work();
  if (response === undefined) throw new Error(`the product answers ${outcome}`);
  const statements = [...recording.statements.values()]
    .map(({ statement }) => statement)
    .filter(({ text }) => !isBackground(text));
  if (statements.length === trips) return { response, statements };
  throw new Error(`${statements.length} trips, and model.md has ${trips}`);
}

interface SlotRow {
  readonly address_subject: Buffer;
  readonly destination_sealed: Buffer;
  readonly code_hash: Buffer;
}

async function slotOf(url: string, challengeId: string): Promise<SlotRow> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<SlotRow>(
      'select address_subject, destination_sealed, code_hash from challenges where challenge_id = $1',
      [challengeId],
    );
    const [row] = rows;
    if (row === undefined) throw new Error('the product keeps no challenge of this id');
    return row;
  } finally {
    await client.end();
  }
}

function is(expected: string | number | Buffer): (value: unknown) => boolean {
  if (Buffer.isBuffer(expected)) {
    return (value) => Buffer.isBuffer(value) && value.equals(expected);
  }
  // The driver sends a number as text; within JSON it stays one.
  return (value) => value === expected || value === String(expected);
}

function claimsOf(token: string): { sub: string; sid: string; auth_time: number } {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
}

function tokenBytes(token: string): Buffer {
  return Buffer.from(token.slice('crt_'.length), 'base64url');
}

function uuidBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex');
}

function hash(...parts: readonly Buffer[]): Buffer {
  return createHash('sha256').update(Buffer.concat(parts)).digest();
}
