/** An anonymous flow through the product, and all that is sent for it, the sender's statements too. */
import pg from 'pg';
import type { Challenge } from '../../generated/countersign/v1/challenge.js';
import { recordStatements, type SentStatement } from '../../test/plans/statements.js';
import { eventually } from '../../test/resilience/eventually.js';
import type { FlowTemplates } from '../floors/templates.js';
import type { Ended } from '../scenarios/scenario.js';
import { chargesOf, recordScripts, type SentScript } from './record-charges.js';
import { answerOf, challengeOf, type Door, is, listen, ofChallenge } from './recorded-call.js';
import { type Sample, templateOf } from './template-of.js';

/** By the names of `FlowTemplates`. */
export interface FlowWalk {
  readonly request: Sample;
  readonly charges: readonly SentScript[];
  readonly resolve: readonly [Sample, Sample];
  readonly finish: Sample;
  readonly complete: readonly [Sample, Sample];
}

export interface Flow<Completed> {
  request(): Promise<Ended<{ readonly challenge?: Challenge | undefined }>>;
  complete(challengeId: string, code: string): Promise<Ended<Completed>>;
  /** What is known besides the flow's own. */
  known(completed: Completed): Sample['known'];
}

export async function walkFlow<Completed>(
  door: Door,
  phone: string,
  flow: Flow<Completed>,
): Promise<FlowWalk> {
  await nothingQueued(door.databaseUrl);
  using recording = recordScripts();
  const { challengeId, request, read, issue, finish } = await listenToSending(flow);
  const charges = [...recording.scripts];
  const row = await challengeOf(door.databaseUrl, challengeId);
  const code = door.mailbox.codeFor(phone);
  const completed = await listen(2, () => flow.complete(challengeId, code));
  const [count, redeem] = completed.statements;
  if (!count || !redeem) throw new Error('a right code takes two trips');
  const messageIds = String(finish.values.find(isOneId));
  const known = {
    ...flow.known(completed.response),
    ...ofChallenge(challengeId, row),
    phone: is(phone),
    messageIds: is(messageIds),
    messageId: is(messageIds.replaceAll(/[{}"]/g, '')),
    // What a flow has in place of a code that there is not yet: the request made it, the read found it.
    flowHash: (value: unknown) => isIn(request, value) && isIn(issue, value),
  };
  const sample = (statement: SentStatement): Sample => ({ statement, known });
  return {
    request: sample(request),
    charges,
    resolve: [sample(read), sample(issue)],
    finish: sample(finish),
    complete: [sample(count), sample(redeem)],
  };
}

/** What is sent until the message has gone out and is marked so; no other message may be on its way. */
async function listenToSending(flow: Pick<Flow<unknown>, 'request'>) {
  using recording = recordStatements();
  const sent = (): readonly SentStatement[] =>
    [...recording.statements.values()].map(({ statement }) => statement);
  const challengeId = answerOf(await flow.request()).challenge?.challengeId ?? '';
  const finish = await eventually('the message is marked as sent', async () =>
    sent().find(({ text }) => /^\s*update outbox/.test(text)),
  );
  const [request, read, issue, ...others] = sent().filter(({ values }) =>
    values.includes(challengeId),
  );
  if (!request || !read || !issue || others.length > 0) {
    throw new Error('a request takes one trip, and its sending two');
  }
  return { challengeId, request, read, issue, finish };
}

async function nothingQueued(url: string): Promise<void> {
  const client = new pg.Client({ connectionString: url });
  await client.connect();
  try {
    await eventually('all messages are sent', async () => {
      const { rows } = await client.query("select from outbox where state = 'queued' limit 1");
      return rows.length === 0;
    });
  } finally {
    await client.end();
  }
}

/** An array of one id, as the driver sends it. */
const isOneId = (value: unknown): boolean =>
  typeof value === 'string' && /^\{"[0-9a-f-]{36}"\}$/.test(value);

const isIn = ({ values }: SentStatement, value: unknown): boolean =>
  Buffer.isBuffer(value) && values.some((one) => Buffer.isBuffer(one) && one.equals(value));

export function flowTemplatesOf(
  name: string,
  one: FlowWalk,
  other: FlowWalk,
  redisPrefix: string,
): FlowTemplates {
  const pair = (step: string, ours: Sample, theirs: Sample) =>
    templateOf(`${name} ${step}`, ours, theirs);
  return {
    charges: chargesOf(redisPrefix, one.charges, other.charges),
    request: pair('request', one.request, other.request),
    resolve: [
      pair('read', one.resolve[0], other.resolve[0]),
      pair('issue', one.resolve[1], other.resolve[1]),
    ],
    finish: pair('finish', one.finish, other.finish),
    complete: [
      pair('count', one.complete[0], other.complete[0]),
      pair('redeem', one.complete[1], other.complete[1]),
    ],
  };
}
