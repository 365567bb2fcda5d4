/** What the product really sends for a call: it runs in this process, for two people, and is listened to. */
import { randomBytes } from 'node:crypto';
import { join } from 'node:path';
import type { Metadata } from '@grpc/grpc-js';
import type { AuthServiceClient } from '../../generated/countersign/v1/auth_service.js';
import { createApp } from '../../src/app.js';
import { loadConfig } from '../../src/config/index.js';
import { createMailbox } from '../../test/support/mailbox.js';
import type { Templates } from '../floors/templates.js';
import { call, connect, metadataOf } from '../scenarios/scenario.js';
import { Cleanup } from './cleanup.js';
import { type SeededPerson, seedPeople } from './people.js';
import { makeProductSchema } from './product-schema.js';
import { temporaryFolder } from './program.js';
import { type FlowWalk, flowTemplatesOf, walkFlow } from './record-flow.js';
import {
  challengeOf,
  claimsOf,
  type Door,
  hashOfToken,
  is,
  listen,
  ofChallenge,
} from './recorded-call.js';
import { createDatabase, redisKeys } from './services.js';
import { LIFTED_LIMITS } from './subject.js';
import { type Sample, templateOf } from './template-of.js';

const CALLER = 'bench';
const log = { debug() {}, info() {}, warn() {}, error() {} };

interface Walk {
  readonly send: readonly Sample[];
  readonly confirm: readonly Sample[];
  readonly refresh: readonly Sample[];
  readonly phoneSignIn: FlowWalk;
  readonly recovery: FlowWalk;
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
    phoneSignIn: flowTemplatesOf('phone sign-in', one.phoneSignIn, other.phoneSignIn, redis.prefix),
    recovery: flowTemplatesOf('recovery', one.recovery, other.recovery, redis.prefix),
    destinationBytes: one.destinationBytes,
  };
}

/** One person's calls. `generation`: that of the refresh token whose refresh is noted. */
async function walk(door: Door, person: SeededPerson, generation: number): Promise<Walk> {
  const client = connect(door.target);
  const metadata = metadataOf(door.target, 0, person.accessToken);
  try {
    return {
      ...(await walkPhoneCode(door, person, client, metadata)),
      // By the number that is proven now.
      ...(await walkFlows(door, person, generation, client)),
      refresh: await walkRefresh(person, generation, client, metadata),
    };
  } finally {
    client.close();
  }
}

async function walkPhoneCode(
  door: Door,
  person: SeededPerson,
  client: AuthServiceClient,
  metadata: Metadata,
): Promise<Pick<Walk, 'send' | 'confirm' | 'destinationBytes'>> {
  const request = { phoneNumber: person.phone };
  const sent = await listen(1, () =>
    call(client, client.sendPhoneVerificationCode, request, metadata),
  );
  const challengeId = sent.response.challenge?.challengeId ?? '';
  const row = await challengeOf(door.databaseUrl, challengeId);
  await door.mailbox.waitFor(({ to }) => to === person.phone);
  const confirmation = { challengeId, code: door.mailbox.codeFor(person.phone) };
  const confirmed = await listen(2, () =>
    call(client, client.confirmPhoneNumber, confirmation, metadata),
  );
  const { sub, sid, auth_time } = claimsOf(person.accessToken);
  const known = {
    accountId: is(sub),
    sessionId: is(sid),
    phone: is(person.phone),
    authTime: is(new Date(auth_time * 1_000).toISOString()),
    ...ofChallenge(challengeId, row),
  };
  return {
    send: sent.statements.map((statement) => ({ statement, known })),
    confirm: confirmed.statements.map((statement) => ({ statement, known })),
    destinationBytes: row.destination_sealed.length,
  };
}

async function walkFlows(
  door: Door,
  { accountId, phone }: SeededPerson,
  nth: number,
  client: AuthServiceClient,
): Promise<Pick<Walk, 'phoneSignIn' | 'recovery'>> {
  // Each from an address of their own.
  const metadata = metadataOf(door.target, nth);
  const phoneSignIn = await walkFlow(door, phone, {
    request: () => call(client, client.requestPhoneSignIn, { phoneNumber: phone }, metadata),
    complete: (challengeId, code) =>
      call(client, client.completePhoneSignIn, { challengeId, code }, metadata),
    known: ({ tokens }) => ({
      accountId: is(accountId),
      sessionId: is(claimsOf(tokens?.accessToken ?? '').sid),
      tokenHash: is(hashOfToken(tokens?.refreshToken ?? '')),
    }),
  });
  const recovery = await walkFlow(door, phone, {
    request: () => call(client, client.requestPasswordReset, { identifier: phone }, metadata),
    complete: (challengeId, code) =>
      call(client, client.verifyPasswordResetCode, { challengeId, code }, metadata),
    known: () => ({ accountId: is(accountId) }),
  });
  return { phoneSignIn, recovery };
}

async function walkRefresh(
  person: SeededPerson,
  generation: number,
  client: AuthServiceClient,
  metadata: Metadata,
): Promise<readonly Sample[]> {
  const refresh = (refreshToken: string) =>
    listen(1, () => call(client, client.refreshSession, { refreshToken }, metadata));
  let presented = person.refreshToken;
  for (let nth = 0; nth < generation; nth += 1) {
    presented = (await refresh(presented)).response.tokens?.refreshToken ?? '';
  }
  const refreshed = await refresh(presented);
  const { sub, sid } = claimsOf(person.accessToken);
  const known = {
    accountId: is(sub),
    sessionId: is(sid),
    generation: is(generation),
    tokenHash: is(hashOfToken(presented)),
    successorHash: is(hashOfToken(refreshed.response.tokens?.refreshToken ?? '')),
  };
  return refreshed.statements.map((statement) => ({ statement, known }));
}
