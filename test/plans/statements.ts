import { createHash } from 'node:crypto';
import { Client } from 'pg';

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

/**
 * Notes every statement of this process at the last place before the wire. Nothing is rewritten or
 * imitated: what is explained afterwards is what the hot paths send.
 */
export function recordStatements(): Recording {
  const statements = new Map<string, { statement: SentStatement; during: Set<string> }>();
  let going = 'start';
  // The driver's own method, which has many shapes; only the one that the house uses is noted.
  const original: unknown = Reflect.get(Client.prototype, 'query');
  if (typeof original !== 'function') throw new Error('pg names its method otherwise now');
  Reflect.set(Client.prototype, 'query', function query(this: Client, ...args: unknown[]): unknown {
    const sent = sentStatement(args[0]);
    if (sent !== undefined) {
      const known = statements.get(sent.text) ?? { statement: sent, during: new Set() };
      statements.set(sent.text, known);
      known.during.add(going);
    }
    return Reflect.apply(original, this, args);
  });
  return {
    statements,
    during(what) {
      going = what;
    },
    [Symbol.dispose]() {
      Reflect.set(Client.prototype, 'query', original);
    },
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
  readonly Plans?: readonly PlanNode[];
}

/** Tables that the planner means to read from end to end: with the values at hand, and for any values. */
export async function scannedTables(
  client: Client,
  statement: SentStatement,
): Promise<readonly string[]> {
  const plans = [await plan(client, statement), await genericPlan(client, statement)];
  return [...new Set(plans.flatMap(seqScans))].toSorted();
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

function seqScans(node: PlanNode): readonly string[] {
  const here = node['Node Type'].includes('Seq Scan') ? [node['Relation Name'] ?? 'something'] : [];
  return [...here, ...(node.Plans ?? []).flatMap(seqScans)];
}
