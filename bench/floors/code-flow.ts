/**
 * An anonymous request for a code, and the code that comes back: Redis 1 (all charges), PostgreSQL 1 and 2. In between,
 * when the request is answered, what the product's sender does: PostgreSQL 2 to learn what is due and to
 * issue its code, the line of the message, and one statement that marks all messages of a moment as sent.
 * All are the product's statements on its schema. What must be sealed is random, or plain and as long.
 */
import { randomBytes, randomUUID } from 'node:crypto';
import {
  type Challenge as ChallengeMessage,
  Channel,
} from '../../generated/countersign/v1/challenge.js';
import { DEFAULT_LIMITS } from '../../src/delivery/limits.js';
import { charging } from './charges.js';
import {
  drawCode,
  hashOfCode,
  inPlaceOfSealed,
  mac,
  macOfCode,
  maskedNumber,
  messagesTo,
  numberIn,
} from './codes.js';
import type { FloorContext } from './floor.js';
import { type FlowTemplates, type Known, readTemplates, statementOf, uuid7 } from './templates.js';

/** A code that proved right, and whatever the statement that redeems it has to be told. */
export interface RightCode {
  readonly accountId: string;
  readonly known: Known;
}

interface OpenedRow {
  readonly challenge_id: string;
  readonly expires_at: Date;
  readonly resend_at: Date;
}

interface DueRow {
  readonly account_id: string;
  readonly code_hash: Buffer;
}

interface CountedRow extends DueRow {
  readonly destination_sealed: Buffer;
  readonly address_subject: Buffer;
}

const HASH_BYTES = 32;

export function codeFlow(context: FloorContext, flow: 'phoneSignIn' | 'recovery') {
  const { [flow]: statements, destinationBytes } = readTemplates(context.templates);
  const { pool } = context;
  const charge = charging(context, statements.charges);
  const deliver = delivering(context, statements, destinationBytes);
  const request = statementOf(statements.request);
  const [count, redeem] = statements.complete.map(statementOf);
  if (count === undefined || redeem === undefined) throw new Error('completing takes two trips');
  return {
    redeem,

    async request(phone: string): Promise<ChallengeMessage | undefined> {
      await charge();
      const challengeId = randomUUID();
      const messageId = uuid7();
      const known = { phone, challengeId, messageId, addressSubject: mac(phone) };
      const { rows } = await pool.query<OpenedRow>(
        request({ ...known, flowHash: randomBytes(HASH_BYTES) }),
      );
      const [opened] = rows;
      if (opened === undefined) return undefined;
      // After the answer and a pause, as the product. What fails here ends the process: no round goes on without.
      const { requestPauseLeastMs: least, requestPauseMostMs: most } = DEFAULT_LIMITS;
      setTimeout(() => void deliver(known), least + Math.random() * (most - least));
      return {
        challengeId,
        channel: Channel.SMS,
        maskedDestination: maskedNumber(phone),
        expireTime: opened.expires_at,
        resendTime: opened.resend_at,
      };
    },

    async guess(challengeId: string, code: string): Promise<RightCode | undefined> {
      const { rows } = await pool.query<CountedRow>(count({ challengeId }));
      const [guess] = rows;
      if (guess === undefined) return undefined;
      const accountId = guess.account_id;
      const phone = numberIn(guess.destination_sealed);
      const codeHash = hashOfCode(macOfCode(accountId, phone, code), challengeId);
      if (!codeHash.equals(guess.code_hash)) return undefined;
      const addressSubject = guess.address_subject;
      return { accountId, known: { challengeId, accountId, phone, addressSubject, codeHash } };
    },
  };
}

interface Requested extends Record<string, string | Buffer> {
  readonly phone: string;
  readonly challengeId: string;
  readonly messageId: string;
}

function delivering({ pool, messageFile }: FloorContext, flow: FlowTemplates, bytes: number) {
  const [read, issue] = flow.resolve.map(statementOf);
  if (read === undefined || issue === undefined) throw new Error('resolving takes two trips');
  const write = messagesTo(messageFile);
  const finish = finishing({ pool }, flow);
  return async (requested: Requested): Promise<void> => {
    const { phone, challengeId, messageId } = requested;
    const [due] = (await pool.query<DueRow>(read(requested))).rows;
    if (due === undefined) throw new Error('nothing is due to somebody who is known');
    const code = drawCode();
    const accountId = due.account_id;
    const { rowCount } = await pool.query(
      issue({
        challengeId,
        accountId,
        flowHash: due.code_hash,
        codeMac: macOfCode(accountId, phone, code),
        destinationSealed: inPlaceOfSealed(phone, bytes),
      }),
    );
    if (rowCount !== 1) throw new Error('a flow went on meanwhile, and nobody asked it to');
    write(phone, code);
    finish(messageId);
  };
}

/** Waits for others as long as the product does, and marks them at once. */
function finishing({ pool }: Pick<FloorContext, 'pool'>, flow: FlowTemplates) {
  const statement = statementOf(flow.finish);
  let waiting: string[] = [];
  const flush = (): void => {
    const messageIds = `{${waiting.join(',')}}`;
    waiting = [];
    void pool.query(statement({ messageIds }));
  };
  return (messageId: string): void => {
    if (waiting.length === 0) setTimeout(flush, DEFAULT_LIMITS.lingerMs);
    waiting.push(messageId);
  };
}
