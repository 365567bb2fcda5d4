import { readFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { describe, expect, it, onTestFinished } from 'vitest';
import { createLogger } from '../../src/logger.js';
import { createMetrics, type MetricObject, pageOfWorkers } from '../../src/metrics/index.js';
import { type LogCall, logCalls } from './log-calls.js';
import { readPage } from './scrape.js';

const page = await readFile(new URL('../../docs/observability.md', import.meta.url), 'utf8');
const src = fileURLToPath(new URL('../../src', import.meta.url));

/** The rows of the table under a head of these columns. */
function table(...columns: readonly string[]): readonly (readonly string[])[] {
  const [, after] = page.split(`| ${columns.join(' | ')} |\n`);
  if (after === undefined) throw new Error(`no table of ${columns.join(', ')}`);
  const [body = ''] = after.split('\n\n');
  return body
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => line.replace(/^\| | \|$/g, '').split(' | '));
}

function code(text: string): string {
  return `\`${text}\``;
}

function list(names: readonly string[]): string {
  return names.length === 0 ? '–' : names.map(code).join(', ');
}

/** What prom-client knows and does not declare. */
interface Registered {
  readonly name: string;
  readonly type: string;
  readonly labelNames: readonly string[];
  readonly help: string;
  readonly aggregator: string;
}

function registered(): readonly Registered[] {
  const metrics = createMetrics({ version: '0' });
  onTestFinished(() => metrics[Symbol.asyncDispose]());
  return metrics.registry.getMetricsAsArray() as unknown as readonly Registered[];
}

describe('docs/observability.md', () => {
  it('lists every metric as the registry has it, and no other', () => {
    const expected = registered().map(({ name, type, labelNames, help, aggregator }) => [
      code(name),
      type,
      list(labelNames),
      help,
      aggregator,
    ]);
    expect(table('name', 'type', 'labels', 'meaning', 'several processes')).toEqual(expected);
  });

  it('names no metric that does not exist', async () => {
    const serve = await readFile(new URL('../../src/cli/serve.ts', import.meta.url), 'utf8');
    // Of the page of several processes, which no registry of one knows.
    const joint = [...serve.matchAll(/# HELP (\w+)/g)].map(([, name = '']) => name);
    expect(joint).toEqual(['countersign_workers_missing']);
    const names = new Set([...registered().map(({ name }) => name), ...joint]);
    const named = [...page.matchAll(/\b(?:countersign|nodejs|process)_\w+/g)].map(([name]) => name);
    expect(named.length).toBeGreaterThan(60);
    const known = (name: string) =>
      names.has(name) || names.has(name.replace(/_(bucket|sum|count)$/, ''));
    expect(named.filter((name) => !known(name))).toEqual([]);
  });

  it('has an alarm for each of what must wake somebody', () => {
    const alarms = table('when', 'for', 'says').map(([when = '']) => when);
    expect(alarms.length).toBeGreaterThan(10);
    expect(alarms.filter((when) => !/^`.*(countersign|nodejs)_/.test(when))).toEqual([]);
  });

  it('lists every line that can be logged, with its level and fields, and no other', () => {
    const rows = logCalls(src).map(({ message, level, fields }) => [
      code(message),
      level,
      list(fields),
    ]);
    expect(rows.length).toBeGreaterThan(30);
    expect(table('msg', 'level', 'fields')).toEqual(rows);
  });

  it('says what each field means, and nothing of fields that are never logged', () => {
    const fields = new Set(logCalls(src).flatMap((call: LogCall) => call.fields));
    const explained = table('field', 'means').map(([field]) => field);
    expect(explained).toEqual([...fields].sort().map(code));
  });
});

describe('log lines', () => {
  it('have no field under a name whose value is never written', () => {
    const lines: string[] = [];
    const log = createLogger('info', { write: (line) => void lines.push(line) });
    const fields = logCalls(src).flatMap((call) => call.fields);
    log.info(Object.fromEntries(fields.map((name) => [name, 'seen'])), 'all of them');
    log.info({ code: '123456', nested: { password: 'x' } }, 'what is redacted');
    expect(lines[0]).not.toContain('redacted');
    expect(lines[1]).toContain('"code":"[redacted]"');
    expect(lines.join()).not.toContain('123456');
    const plain = JSON.parse(lines[0] ?? '');
    expect([plain.level, plain.trace_id]).toEqual([30, undefined]);
  });
});

describe('the metrics of several processes', () => {
  it('become one page, on which each has series of its own', async () => {
    const pages: { place: number; metrics: readonly MetricObject[] }[] = [];
    for (const [calls, age] of [
      [2, 30],
      [5, 10],
    ] as const) {
      const metrics = createMetrics({ version: '1.2.3' });
      onTestFinished(() => metrics[Symbol.asyncDispose]());
      const rpc = metrics.edge.rpc('a/B');
      for (let i = 0; i < calls; i += 1) {
        rpc.began();
        if (i > 0) rpc.answered('OK', 'OK', 0.004);
      }
      metrics.delivery.oldestUnsent(age);
      metrics.show({ serving: () => age < 20 });
      // As it goes from one process to another.
      const carried = JSON.parse(JSON.stringify(await metrics.json()));
      pages.push({ place: pages.length + 1, metrics: carried });
    }
    const page = readPage(await pageOfWorkers(pages));
    const [one, two] = [{ worker: '1' }, { worker: '2' }];
    const ofBoth = (name: string, labels = {}) =>
      [one, two].map((worker) => page.value(name, { ...labels, ...worker }));
    const OK = { method: 'a/B', code: 'OK' };
    // Were they added up, the sum would fall when one of them is replaced.
    expect(ofBoth('countersign_rpc_calls_total', OK)).toEqual([1, 4]);
    expect(page.value('countersign_rpc_calls_total', OK)).toBeUndefined();
    expect(ofBoth('countersign_rpc_in_flight')).toEqual([1, 1]);
    const bucket = { method: 'a/B', le: '0.005' };
    expect(ofBoth('countersign_rpc_duration_seconds_bucket', bucket)).toEqual([1, 4]);
    expect(ofBoth('countersign_rpc_duration_seconds_count', { method: 'a/B' })).toEqual([1, 4]);
    expect(ofBoth('countersign_outbox_oldest_unsent_seconds')).toEqual([30, 10]);
    expect(ofBoth('countersign_serving')).toEqual([0, 1]);
    const build = { version: '1.2.3', node: process.versions.node };
    expect(ofBoth('countersign_build_info', build)).toEqual([1, 1]);
    expect(page.text.match(/^# TYPE countersign_serving /gm)).toHaveLength(1);
  });

  it('are of one app each', async () => {
    const [one, other] = [createMetrics({ version: '0' }), createMetrics({ version: '0' })];
    onTestFinished(() => one[Symbol.asyncDispose]());
    onTestFinished(() => other[Symbol.asyncDispose]());
    one.hashLane.shed();
    const shed = 'countersign_hash_shed_total';
    expect(readPage(await one.text()).value(shed)).toBe(1);
    expect(readPage(await other.text()).value(shed)).toBe(0);
  });
});
