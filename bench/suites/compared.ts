/** Suites that put one RPC beside its floor. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { Cleanup } from '../support/cleanup.js';
import { type Floor, startFloor } from '../support/floor.js';
import { startGenerator } from '../support/load.js';
import { table } from '../support/markdown.js';
import { type SeededPerson, seedPeople } from '../support/people.js';
import { makeProductSchema } from '../support/product-schema.js';
import { temporaryFolder } from '../support/program.js';
import { recordTemplates } from '../support/record-templates.js';
import {
  type Comparison,
  compare,
  type Round,
  type Side,
  type SideFigures,
} from '../support/rounds.js';
import type { Spread } from '../support/statistics.js';
import { type Subject, startSubject } from '../support/subject.js';
import type { SuiteOptions } from '../support/suite.js';

export interface Compared {
  /** A file of `bench/scenarios`. */
  readonly name: string;
  readonly concurrency: number;
  readonly people: number;
  /** V8 needs some thousand calls until it has compiled what is hot. */
  readonly warmUpSeconds: number;
  /** What people have, in the product's schema, besides what all seeded people have. */
  prepare?(databaseUrl: string, people: readonly SeededPerson[]): Promise<void>;
  /** A floor with tables of its own. */
  readonly floor?: OwnFloor;
  /**
   * A floor of that name sends the product's own statements, on its schema and as many rows, and is the
   * judged one; `floor`, if any, is then shown beside it.
   */
  readonly asSent?: string;
  /** What the scenario wants besides its target. `isFloor`: it goes to `floor`, which has tokens of its own. */
  data(
    people: readonly SeededPerson[],
    server: { readonly messageFile: string },
    isFloor: boolean,
  ): Readonly<Record<string, unknown>>;
}

export interface OwnFloor {
  /** A file of `bench/floors`. */
  readonly name: string;
  /** Settings of its process. */
  env?(subject: Subject): Promise<Readonly<Record<string, string>>>;
  /** Puts the same people into it. */
  fill?(floor: Floor, people: readonly SeededPerson[]): Promise<void>;
}

export interface ComparedData extends Comparison {
  readonly concurrency: number;
  readonly seconds: number;
  readonly rounds: number;
}

export async function runCompared(
  one: Compared,
  { seconds, rounds, program, say }: SuiteOptions,
): Promise<{ readonly data: ComparedData; readonly measured: readonly Round[] }> {
  await using cleanup = new Cleanup();
  const subject = cleanup.add(await startSubject({ program }));
  const people = await seed(one, subject);
  const side = async (
    server: Subject | Floor,
    theirs: readonly SeededPerson[],
    isFloor = false,
  ): Promise<Side> => {
    // A floor is shown the caller's key too: as many bytes, which it does not read.
    const target = { address: server.address, callerKey: subject.callerKey };
    const data = { target, ...one.data(theirs, server, isFloor) };
    const generator = cleanup.add(await startGenerator(one.name, data));
    return { pid: server.pid, generator, databaseUrl: server.databaseUrl };
  };
  const parts = { subject, cleanup, side };
  const own = one.floor === undefined ? undefined : await ownFloor(one.floor, people, parts);
  const same = one.asSent === undefined ? undefined : await asSent(one, one.asSent, parts);
  const floor = same ?? own;
  if (floor === undefined) throw new Error(`${one.name} has no floor`);
  const { concurrency, warmUpSeconds } = one;
  const { rounds: measured, ...comparison } = await compare(
    { subject: await side(subject, people), floor, smallest: same && own },
    { concurrency, seconds, rounds, warmUpSeconds, onRound: say },
  );
  return { data: { concurrency, seconds, rounds, ...comparison }, measured };
}

async function seed(
  one: Compared,
  server: Parameters<typeof seedPeople>[0],
): Promise<readonly SeededPerson[]> {
  const people = await seedPeople(server, one.people);
  if (server.databaseUrl !== undefined) await one.prepare?.(server.databaseUrl, people);
  return people;
}

interface Parts {
  readonly subject: Subject;
  readonly cleanup: Cleanup;
  side(server: Floor, people: readonly SeededPerson[], isFloor?: boolean): Promise<Side>;
}

async function ownFloor(
  own: OwnFloor,
  people: readonly SeededPerson[],
  { subject, cleanup, side }: Parts,
): Promise<Side> {
  const floor = cleanup.add(await startFloor(own.name, { env: await own.env?.(subject) }));
  await own.fill?.(floor, people);
  return side(floor, people, true);
}

/** A floor with the product's statements, its schema, and people of its own, seeded as the subject's. */
async function asSent(one: Compared, name: string, parts: Parts): Promise<Side> {
  const { subject, cleanup } = parts;
  const templates = join(cleanup.add(temporaryFolder()).path, 'templates.json');
  writeFileSync(templates, JSON.stringify(await recordTemplates()));
  const floor = cleanup.add(await startFloor(name, { env: { TEMPLATES: templates } }));
  await makeProductSchema(floor.databaseUrl, subject.callerName);
  const { databaseUrl } = floor;
  return parts.side(floor, await seed(one, { ...subject, databaseUrl }));
}

export function comparisonTable(data: ComparedData): string {
  const { subject, floor, smallest } = data;
  const sides = [subject, floor, ...(smallest === undefined ? [] : [smallest.floor])];
  const head =
    smallest === undefined
      ? ['', 'Countersign', 'floor']
      : ['', 'Countersign', 'floor: the same statements', 'the smallest statements that would do'];
  const row = (name: string, of: (side: SideFigures) => string) => [name, ...sides.map(of)];
  return [
    `${data.rounds} rounds of ${data.seconds} s each, in turns; ${data.concurrency} calls at a time.`,
    '',
    table(head, [
      row('per second', ({ okPerSecond }) => within(okPerSecond)),
      row("server's CPU per call, ms", ({ serverCpuPerCall }) => within(serverCpuPerCall)),
      row("PostgreSQL's CPU per call, ms", ({ postgresCpuPerCall }) => within(postgresCpuPerCall)),
      row("generator's CPU per call, ms", ({ generatorCpuPerCall }) => within(generatorCpuPerCall)),
      row('latency p50 / p99, ms', ({ latencyMs: { p50, p99 } }) => `${p50} / ${p99}`),
      row('outcomes', ({ outcomes }) =>
        Object.entries(outcomes)
          .map(([name, count]) => `${name} ${count}`)
          .join(', '),
      ),
    ]),
    '',
    `Throughput ÷ floor: **${within(data.throughputRatio)}**. The floor's CPU per call ÷ ours: ${within(data.cpuRatio)}.`,
    ...(smallest === undefined
      ? []
      : [
          '',
          `Throughput ÷ the smallest statements that would do, which is not judged: ${within(smallest.throughputRatio)}.`,
          `Their server's CPU per call ÷ ours: ${within(smallest.cpuRatio)}.`,
        ]),
  ].join('\n');
}

/** What a section says of a floor that sends the product's statements. */
export const AS_SENT = [
  'The floor sends the very statements that the product sends, recorded from the product at the beginning of the run,',
  "named, from hand-written handlers on a bare `pg` pool, on the product's schema with as many people and past rows. It has",
  'no adapter, no query builder, no throttle library, no check of caller or deadline, no access audit, no outbox worker, no',
  'logs and no metrics; where a column holds something sealed, it writes as many random bytes. What the statements do',
  '(guards, guess budgets, claims, the audit of changes, the queued message) both sides pay for, so this ratio, by which',
  'the goal is judged, says what the layers above PostgreSQL cost.',
].join('\n');

/** And of one that stands beside it. */
export const SMALLEST = [
  'The last column, which is not judged, is the least SQL that would answer the call, on tables of its own, without any of',
  'those guarantees.',
].join('\n');

/** Middle, lowest and highest round. */
export function within({ median, low, high }: Spread): string {
  return `${median} (${low}–${high})`;
}
