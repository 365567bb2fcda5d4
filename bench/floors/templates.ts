/** Statements as the product sends them, with places for the values of a call. As JSON between processes. */
import { randomBytes, randomUUID } from 'node:crypto';
import { readFileSync } from 'node:fs';
import type { ChargesTemplate } from './charges.js';

export type Fixed = string | number | boolean | null;
type Json = Fixed | readonly Fixed[];

/** How a value that differs from call to call comes about. */
export type Make =
  | { readonly known: string }
  | { readonly uuid: 4 | 7 }
  | { readonly bytes: number }
  | {
      readonly json: Readonly<
        Record<string, { readonly known: string } | { readonly fixed: Json }>
      >;
    };

export interface Template {
  readonly name: string;
  readonly text: string;
  /** Every parameter; null where a variable comes. */
  readonly fixed: readonly Fixed[];
  /** Parameters that are always equal are made once: `at` says where they stand. */
  readonly variables: readonly { readonly at: readonly number[]; readonly make: Make }[];
}

/** An anonymous flow: what its two calls send, and what the sender of messages does in between. */
export interface FlowTemplates {
  /** Of the request; the call that completes the flow is counted in the process. */
  readonly charges: ChargesTemplate;
  readonly request: Template;
  /** What is due, read; and its code, issued. */
  readonly resolve: readonly [Template, Template];
  /** Marks all messages that were sent within a moment. */
  readonly finish: Template;
  readonly complete: readonly [Template, Template];
}

export interface Templates {
  readonly send: readonly [Template];
  readonly confirm: readonly [Template, Template];
  readonly refresh: readonly [Template];
  readonly phoneSignIn: FlowTemplates;
  readonly recovery: FlowTemplates;
  /** As long as a sealed phone number is. */
  readonly destinationBytes: number;
}

export type Known = Readonly<Record<string, string | number | Buffer>>;

export interface NamedStatement {
  readonly name: string;
  readonly text: string;
  readonly values: unknown[];
}

export function readTemplates(path: string): Templates {
  return JSON.parse(readFileSync(path, 'utf8'));
}

/** What makes the statement of one call. */
export function statementOf({
  name,
  text,
  fixed,
  variables,
}: Template): (known: Known) => NamedStatement {
  const makers = variables.map(({ at, make }) => ({ at, value: maker(make) }));
  return (known) => {
    const values: unknown[] = fixed.slice();
    for (const { at, value } of makers) {
      const made = value(known);
      for (const i of at) values[i] = made;
    }
    return { name, text, values };
  };
}

function maker(make: Make): (known: Known) => unknown {
  if ('uuid' in make) return make.uuid === 7 ? uuid7 : () => randomUUID();
  if ('bytes' in make) return () => randomBytes(make.bytes);
  if ('known' in make) return (known) => knownValue(known, make.known);
  const leaves = Object.entries(make.json);
  return (known) =>
    JSON.stringify(
      Object.fromEntries(
        leaves.map(([name, leaf]) => [
          name,
          'known' in leaf ? knownValue(known, leaf.known) : leaf.fixed,
        ]),
      ),
    );
}

function knownValue(known: Known, name: string): string | number | Buffer {
  const value = known[name];
  if (value === undefined) throw new Error(`the floor has no ${name} for this statement`);
  return value;
}

/** In order of time, as the product's: elsewhere in the index, an insert would cost PostgreSQL more. */
export function uuid7(): string {
  const random = randomBytes(10);
  random[0] = 0x70 | ((random[0] ?? 0) & 0x0f);
  random[2] = 0x80 | ((random[2] ?? 0) & 0x3f);
  const hex = Date.now().toString(16).padStart(12, '0') + random.toString('hex');
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}`;
}
