/** One call to the product in this process, and how to recognise what stands in its statements. */
import { createHash } from 'node:crypto';
import pg from 'pg';
import { recordStatements, type SentStatement } from '../../test/plans/statements.js';
import { isBackground } from '../../test/security/watched-database.js';
import type { Mailbox } from '../../test/support/mailbox.js';
import type { Ended } from '../scenarios/scenario.js';

/** Where the product is reached, and what it does is seen. */
export interface Door {
  readonly target: { readonly address: string; readonly callerKey: string };
  readonly mailbox: Mailbox;
  readonly databaseUrl: string;
}

export function answerOf<T>({ outcome, response }: Ended<T>): T {
  if (response === undefined) throw new Error(`the product answers ${outcome}`);
  return response;
}

/** The answer of a call and what it sent, without what workers send meanwhile. */
export async function listen<T>(
  trips: number,
  work: () => Promise<Ended<T>>,
): Promise<{ readonly response: T; readonly statements: readonly SentStatement[] }> {
  using recording = recordStatements();
  const response = answerOf(await work());
  const statements = [...recording.statements.values()]
    .map(({ statement }) => statement)
    .filter(({ text }) => !isBackground(text));
  if (statements.length === trips) return { response, statements };
  throw new Error(`${statements.length} trips, and model.md has ${trips}`);
}

export interface ChallengeRow {
  readonly address_subject: Buffer;
  readonly destination_sealed: Buffer;
  readonly code_hash: Buffer;
}

export async function challengeOf(url: string, challengeId: string): Promise<ChallengeRow> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    const { rows } = await client.query<ChallengeRow>(
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

/** What a challenge and its code put into statements. */
export function ofChallenge(challengeId: string, row: ChallengeRow) {
  return {
    challengeId: is(challengeId),
    addressSubject: is(row.address_subject),
    destinationSealed: is(row.destination_sealed),
    codeHash: is(row.code_hash),
    codeMac: (value: unknown) =>
      Buffer.isBuffer(value) && hash(value, uuidBytes(challengeId)).equals(row.code_hash),
  };
}

export function is(expected: string | number | Buffer): (value: unknown) => boolean {
  if (Buffer.isBuffer(expected)) {
    return (value) => Buffer.isBuffer(value) && value.equals(expected);
  }
  // The driver sends a number as text; within JSON it stays one.
  return (value) => value === expected || value === String(expected);
}

export function claimsOf(token: string): { sub: string; sid: string; auth_time: number } {
  return JSON.parse(Buffer.from(token.split('.')[1] ?? '', 'base64url').toString());
}

/** What the product keeps of a refresh token. */
export function hashOfToken(token: string): Buffer {
  return hash(Buffer.from(token.slice('crt_'.length), 'base64url'));
}

function uuidBytes(id: string): Buffer {
  return Buffer.from(id.replaceAll('-', ''), 'hex');
}

function hash(...parts: readonly Buffer[]): Buffer {
  return createHash('sha256').update(Buffer.concat(parts)).digest();
}
