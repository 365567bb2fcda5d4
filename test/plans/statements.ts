import { createHash } from 'node:crypto';
import type { Client } from 'pg';
import { onQuery } from '../support/sent-queries.js';

/** A statement as this process has sent it to PostgreSQL, with its values as the driver encoded them. */
export interface SentStatement {
  readonly text: string;
  readonly values: readonly unknown[];
}

export interface RecordedStatement {
  readonly statement: SentStatement;
  /** All that was going on when it was sent. */
  readonly during: ReadonlySet<string>;
}

export interface Recording extends Disposable {
  /** One for each text, with the values that it was first sent with. */
  readonly statements: ReadonlyMap<string, RecordedStatement>;
  /** From now on this is going on. */
  during(what: string): void;
}

/** Notes every statement that this process sends; only the shape of query that the house uses. */
export function recordStatements(): Recording {
  const statements = new Map<string, { statement: SentStatement; during: Set<string> }>();
  let going = 'start';
  const listening = onQuery((query) => {
    const sent = sentStatement(query);
    if (sent === undefined) return;
    const known = statements.get(sent.text) ?? { statement: sent, during: new Set() };
    statements.set(sent.text, known);
    known.during.add(going);
  });
  return {
    statements,
    during(what) {
      going = what;
    },
    [Symbol.dispose]: () => listening[Symbol.dispose](),
  };
}

function sentStatement(query: unknown): SentStatement | undefined {
  if (typeof query !== 'object' || query === null || !('text' in query)) return undefined;
  const { text } = query;
  if (typeof text !== 'string' || !/^\s*(with|select|insert|update|delete)\b/i.test(text))
    return undefined;
  const values: unknown = 'values' in query ? query.values : undefined;
  return { text, values: Array.isArray(values) ? values : [] };
}

interface PlanNode {
  readonly 'Node Type': string;
  readonly 'Relation Name'?: string;
  readonly 'Index Name'?: string;
  readonly 'Index Cond'?: string;
  readonly Plans?: readonly PlanNode[];
}

/** Tables that the planner means to read from end to end: with the values at hand, and for any values. */
export async function scannedTables(
  client: Client,
  statement: SentStatement,
): Promise<readonly string[]> {
  const plans = [await plan(client, statement), await genericPlan(client, statement)];
  const partial = await partialIndexes(client);
  return [...new Set(plans.flatMap((root) => wholeScans(root, partial)))].toSorted();
}

/** They hold what is queued or alive, which does not grow with use, and may be read whole. */
async function partialIndexes(client: Client): Promise<ReadonlySet<string>> {
  const { rows } = await client.query<{ relname: string }>(
    'select relname from pg_class join pg_index on indexrelid = oid where indpred is not null',
  );
  return new Set(rows.map(({ relname }) => relname));
}

async function plan(client: Client, { text, values }: SentStatement): Promise<PlanNode> {
  return rootOf(await client.query(`explain (format json) ${text}`, [...values]));
}

/** What a named prepared statement may come to use after its fifth execution. */
async function genericPlan(client: Client, { text, values }: SentStatement): Promise<PlanNode> {
  const name = `p_${createHash('sha256').update(text).digest('hex').slice(0, 16)}`;
  await client.query(`prepare ${name} as ${text}`);
  await client.query('set plan_cache_mode = force_generic_plan');
  try {
    const nulls = values.length === 0 ? '' : `(${values.map(() => 'null').join(', ')})`;
    return rootOf(await client.query(`explain (format json) execute ${name}${nulls}`));
  } finally {
    await client.query('reset plan_cache_mode');
    await client.query(`deallocate ${name}`);
  }
}

function rootOf({ rows }: { readonly rows: readonly unknown[] }): PlanNode {
  const [row] = rows as readonly {
    readonly 'QUERY PLAN': readonly [{ readonly Plan: PlanNode }];
  }[];
  if (row === undefined) throw new Error('no plan');
  return row['QUERY PLAN'][0].Plan;
}

/** Through an index too: without a condition on it, only a limit above would end the reading. */
function wholeScans(
  node: PlanNode,
  partial: ReadonlySet<string>,
  limited = false,
): readonly string[] {
  const { 'Node Type': type, 'Index Name': index = '' } = node;
  const byIndex = /Index(?: Only)? Scan/.test(type);
  const unbounded = node['Index Cond'] === undefined && !limited && !partial.has(index);
  const whole = byIndex ? unbounded : type.includes('Seq Scan');
  const here = whole ? [node['Relation Name'] ?? index] : [];
  const below = (node.Plans ?? []).flatMap((child) => wholeScans(child, partial, type === 'Limit'));
  return [...here, ...below];
}
