/** `docs/performance.md` out of `bench/results`. */
import { readFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { figureOf, type Goal, goals, isMet } from './goals.js';
import { suites } from './suites.js';
import type { Machine } from './support/machine.js';
import { table } from './support/markdown.js';
import { ROOT } from './support/program.js';
import { type Result, readResults } from './support/results.js';

export const PAGE = join(ROOT, 'docs', 'performance.md');

const INTRODUCTION = `# Performance

Written by \`npm run bench\` from \`bench/results/\`; do not edit it. How it is measured, and how to add to it, stands in
[bench/README.md](../bench/README.md).

Absolute figures belong to the machine. What is judged are ratios within one run: the compiled program with its default
settings, beside a *floor*, a bare grpc-js handler with the same round trips to the same PostgreSQL and Redis, and none of
our layers. Both are measured in turns, in short rounds, by generators that are processes of their own. Figures are the
middle round, with the lowest and the highest in parentheses; a ratio is formed round by round. Server, generator, PostgreSQL
and Redis share the cores, so the throughput ratio, by which goals are judged, moves with what the generator and PostgreSQL
cost too; the server's CPU per call is given beside it.

What the floors are. Of sign-in and introspection: what the goal spells out, on tables of their own with the smallest
statements. Of refresh, the phone code, phone sign-in and recovery the *judged* one sends the very statements that the product
sends, recorded from it at the run's beginning, from hand-written handlers on a bare \`pg\` pool and the product's schema. The
goals ask for the round trips of the table in \`model.md\` without our layers, and guards, guess budgets, claims, the audit of
changes and the queued message are what those trips carry; both sides pay PostgreSQL for them, and the ratio says what our
layers cost. Of refresh and the phone code there is another, which sends the *smallest statements that would do* and guarantees
none of that. It is not judged, but measured in the same rounds and shown beside: who counts the guarantees among our layers
should read that ratio instead.

Changed from the defaults: every soft limit is lifted (\`LIMIT_*=1000000000/1h\`) but charged, because one machine plays all
people; messages go to a file. Calls carry a caller key and a client address, as behind a BFF.`;

export function renderPage(results: ReadonlyMap<string, Result>): string {
  const sections = suites.flatMap((suite) => {
    const result = results.get(suite.name);
    if (result === undefined) return [];
    return [`## ${suite.title}\n\n\`${result.command}\`\n\n${suite.section(result.data)}`];
  });
  return `${[INTRODUCTION, goalTable(results), machines([...results.values()]), ...sections].join('\n\n')}\n`;
}

/** The page and the pictures in it, by path, as the results say. */
export function renderFiles(results: ReadonlyMap<string, Result>): ReadonlyMap<string, string> {
  const plots = suites.flatMap(({ name, plot }): [string, string][] => {
    const result = results.get(name);
    const made = result === undefined ? undefined : plot?.(result.data as never);
    return made === undefined ? [] : [[join(dirname(PAGE), made.name), made.svg]];
  });
  return new Map([[PAGE, renderPage(results)], ...plots]);
}

/** Whether they are what the committed results say. */
export async function pageIsCurrent(): Promise<boolean> {
  const files = [...renderFiles(await readResults())];
  const found = files.map(
    async ([path, text]) => (await readFile(path, 'utf8').catch(() => '')) === text,
  );
  return (await Promise.all(found)).every(Boolean);
}

function goalTable(results: ReadonlyMap<string, Result>): string {
  const rows = goals.map((goal) => {
    const figure = figureOf(goal, results.get(goal.suite)?.data);
    return [goal.text, bound(goal), ...verdict(goal, figure)];
  });
  return `## Goals\n\n${table(['what', 'goal', 'measured', ''], rows)}`;
}

function bound({ atLeast, atMost }: Goal): string {
  return [
    ...(atLeast === undefined ? [] : [`≥ ${atLeast}`]),
    ...(atMost === undefined ? [] : [`≤ ${atMost}`]),
  ].join(', ');
}

function verdict(goal: Goal, figure: number | undefined): readonly [string, string] {
  if (figure === undefined) return ['–', 'not measured'];
  return [String(figure), isMet(goal, figure) ? 'met' : '**missed**'];
}

function machines(results: readonly Result[]): string {
  const text = (machine: Machine): string =>
    [
      `${machine.cpu}, ${machine.cores} cores, ${machine.memoryGib} GiB; ${machine.system}; Node ${machine.node};`,
      `PostgreSQL ${machine.postgres} (${machine.postgresSettings})`,
    ].join(' ');
  const where = new Map<string, string[]>();
  for (const { suite, date, seed, machine } of results) {
    const names = where.get(text(machine)) ?? [];
    where.set(text(machine), [...names, `${suite} (${date}, seed ${seed})`]);
  }
  const lines = [...where].map(([machine, names]) => `- ${machine}: ${names.join(', ')}.`);
  return ['## Machine', '', ...lines].join('\n');
}
