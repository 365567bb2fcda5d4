import {
  DummyDriver,
  Kysely,
  PostgresAdapter,
  PostgresIntrospector,
  PostgresQueryCompiler,
  sql,
} from 'kysely';
import { describe, expect, it } from 'vitest';
import { StatementCompiler } from '../../src/db/statement-compiler.js';

const handle = (compiler: PostgresQueryCompiler) =>
  new Kysely<Record<string, never>>({
    dialect: {
      createAdapter: () => new PostgresAdapter(),
      createDriver: () => new DummyDriver(),
      createIntrospector: (db) => new PostgresIntrospector(db),
      createQueryCompiler: () => compiler,
    },
  });

const ours = handle(new StatementCompiler());
const theirs = handle(new PostgresQueryCompiler());

type Builder = ReturnType<typeof sql>;

const named = (name: unknown, inner: Builder): Builder =>
  sql`with t as (${inner}) select ${name} from t`;
const wide = (a: unknown, b: unknown): Builder => sql`${a} and ${b}`;

/** Made anew for each compilation, as the stores make theirs. */
const statements: Readonly<Record<string, (n: number) => Builder>> = {
  'values only': (n) => sql`select ${n}, ${`text ${n}`}, ${null}, ${Buffer.from([n])}`,
  'no values': () => sql`select 1`,
  nested: (n) => named(n, sql`select ${n + 1} as x where ${sql`y = ${n + 2}`}`),
  'a template before a value': (n) => wide(sql`a = ${n}`, n),
  'a value before a template': (n) => wide(n, sql`a = ${n}`),
  'two templates': (n) => wide(sql`a = ${n}`, sql`b = ${n}`),
  'the same template twice': (n) => wide(wide(n, 1), wide(2, n)),
  'a literal': (n) => sql`select * from t where a = ${n} limit ${sql.lit(5)}`,
  'another literal': (n) => sql`select * from t where a = ${n} limit ${sql.lit(6)}`,
  'a literal text': (n) => sql`select ${sql.lit('5')}, ${n}`,
  'text made at run time': (n) => sql`select ${sql.raw('a, b')} from t where a = ${n}`,
  'other text made at run time': (n) => sql`select ${sql.raw('c')} from t where a = ${n}`,
  'a list of two': (n) => sql`select ${n} in (${sql.join([n, 2])})`,
  'a list of three': (n) => sql`select ${n} in (${sql.join([n, 2, 3])})`,
  'a list of templates': (n) => sql`select ${sql.join([sql`a`, sql`b`, n], sql`; `)}`,
  'a name': (n) => sql`select ${sql.id('a', 'b')} from ${sql.table('t')} where x = ${n}`,
};

describe('the statement compiler', () => {
  for (const [name, statement] of Object.entries(statements)) {
    it(`writes ${name} as the library does, the first time and later`, () => {
      for (const n of [1, 7, 1]) {
        const { sql: text, parameters } = statement(n).compile(ours);
        const expected = statement(n).compile(theirs);
        expect({ text, parameters }).toEqual({
          text: expected.sql,
          parameters: expected.parameters,
        });
      }
    });
  }

  it('tells statements apart in any order', () => {
    const compile = (on: typeof ours) => (name: string) => statements[name]?.(3).compile(on).sql;
    const names = [...Object.keys(statements), ...Object.keys(statements).reverse()];
    expect(names.map(compile(ours))).toEqual(names.map(compile(theirs)));
  });

  it('goes on when there are more texts than it keeps', () => {
    const compiler = handle(new StatementCompiler());
    for (let n = 0; n < 12_000; n += 1) {
      const { sql: text, parameters } = sql`select ${sql.lit(n)}, ${n}`.compile(compiler);
      expect([text, parameters]).toEqual([`select ${n}, $1`, [n]]);
    }
  });
});
