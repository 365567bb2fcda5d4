import { availableParallelism } from 'node:os';
import { setTimeout as delay } from 'node:timers/promises';
import { call, connect, metadataOf, type Target } from '../scenarios/scenario.js';
import { startGenerator } from '../support/load.js';
import { table } from '../support/markdown.js';
import { PASSWORD } from '../support/password.js';
import { memoryOf } from '../support/processes.js';
import { type Spread, spread } from '../support/statistics.js';
import { type Subject, startSubject } from '../support/subject.js';
import type { Suite, SuiteOptions } from '../support/suite.js';
import { within } from './compared.js';

interface Footprint {
  /** From the start of the process until an answer has come, in ms. */
  readonly firstAnswerMs: Spread;
  readonly idleMib: number;
  readonly peakMib: number;
  readonly signInsPerSecond: number;
}

interface FootprintData {
  readonly starts: number;
  readonly concurrency: number;
  readonly postgres: Footprint;
  /** Starts on a folder that has its database already. */
  readonly embedded: Footprint;
  /** The very first start, which makes the database and the keys. */
  readonly embeddedFirstMs: number;
}

type Where = 'postgres' | 'embedded';

const CONCURRENCY = availableParallelism() * 16;
const PEOPLE = 20;
const IDLE_MS = 5_000;
const MAX_STARTS = 5;

export const footprint: Suite<FootprintData> = {
  name: 'footprint',
  title: 'Memory, and the first answer after a cold start',
  byDefault: true,
  async run(options) {
    const postgres = await measureOn('postgres', options);
    const embedded = await measureOn('embedded', options);
    return {
      starts: Math.min(options.rounds, MAX_STARTS),
      concurrency: CONCURRENCY,
      postgres: postgres.footprint,
      embedded: embedded.footprint,
      embeddedFirstMs: embedded.firstMs,
    };
  },
  section: ({ starts, concurrency, postgres, embedded, embeddedFirstMs }) => {
    const row = (name: string, of: (one: Footprint) => string) => [
      name,
      of(postgres),
      of(embedded),
    ];
    return [
      `From the start of the process until the answer to a call has come (${starts} starts on a migrated database), and the`,
      `resident memory of the process: idle for 5 s after its start, and the most it ever had while ${concurrency} calls at a`,
      `time signed in. The embedded database is in the process; the very first start makes it, in ${embeddedFirstMs} ms.`,
      '',
      table(
        ['', 'PostgreSQL and Redis', 'embedded'],
        [
          row('first answer, ms', ({ firstAnswerMs }) => within(firstAnswerMs)),
          row('idle, MiB', ({ idleMib }) => String(idleMib)),
          row('peak, MiB', ({ peakMib }) => String(peakMib)),
          row('sign-ins per second meanwhile', ({ signInsPerSecond }) => String(signInsPerSecond)),
        ],
      ),
    ].join('\n');
  },
};

async function measureOn(
  on: Where,
  { seconds, rounds, program, say }: SuiteOptions,
): Promise<{ readonly footprint: Footprint; readonly firstMs: number }> {
  const begun = performance.now();
  await using subject = await startSubject({ on, program });
  await firstAnswer(targetOf(subject, subject.address));
  const firstMs = Math.round(performance.now() - begun);
  await delay(IDLE_MS);
  const idleMib = memoryOf(subject.pid).rssMib;
  const load = await signInLoad(subject, seconds);
  const { peakMib } = memoryOf(subject.pid);
  await subject.stop();
  const starts: number[] = [];
  for (let start = 0; start < Math.min(rounds, MAX_STARTS); start += 1) {
    const from = performance.now();
    await using again = await subject.again();
    await firstAnswer(targetOf(subject, again.address));
    starts.push(performance.now() - from);
  }
  const footprint = {
    firstAnswerMs: spread(starts, 0),
    idleMib,
    peakMib,
    signInsPerSecond: Math.round(load),
  };
  say(`${on}: ${footprint.firstAnswerMs.median} ms, ${idleMib} MiB idle, ${peakMib} MiB peak`);
  return { footprint, firstMs };
}

function targetOf({ callerKey }: Subject, address: string): Target {
  return { address, callerKey };
}

async function firstAnswer(target: Target): Promise<void> {
  const client = connect(target);
  const { outcome } = await call(client, client.getJsonWebKeySet, {}, metadataOf(target, 0));
  client.close();
  if (outcome !== 'ok') throw new Error(`the first call ended with ${outcome}`);
}

async function signInLoad(subject: Subject, seconds: number): Promise<number> {
  const target = targetOf(subject, subject.address);
  const client = connect(target);
  const usernames = Array.from({ length: PEOPLE }, (_, i) => `footprint${i}`);
  for (const username of usernames) {
    const request = { username, password: PASSWORD };
    const { outcome } = await call(client, client.signUp, request, metadataOf(target, 0));
    if (outcome !== 'ok') throw new Error(`a sign-up ended with ${outcome}`);
  }
  client.close();
  await using generator = await startGenerator('sign-in', {
    target,
    usernames,
    password: PASSWORD,
  });
  return (await generator.run({ mode: 'closed', concurrency: CONCURRENCY, seconds })).okPerSecond;
}
