/** Two calls of the same kind side by side: what is equal is fixed, what differs must be understood. */
import { isDeepStrictEqual } from 'node:util';
import type { SentStatement } from '../../test/plans/statements.js';
import type { Fixed, Make, Template } from '../floors/templates.js';

/** A statement, and how to recognise what is in it, by name. */
export interface Sample {
  readonly statement: SentStatement;
  readonly known: Readonly<Record<string, (value: unknown) => boolean>>;
}

type Classified = { readonly fixed: Fixed } | Make;

/** Throws for a variable that is nobody's: a floor that sent it as it was would measure something else. */
export function templateOf(name: string, one: Sample, other: Sample): Template {
  const { text, values } = one.statement;
  if (text !== other.statement.text || values.length !== other.statement.values.length) {
    throw new Error(`${name}: two people's statements differ`);
  }
  const fixed: Fixed[] = [];
  const variables: { at: number[]; make: Make; like: readonly [string, string] }[] = [];
  for (const [i, value] of values.entries()) {
    const pair = [plain(value), plain(other.statement.values[i])] as const;
    const found = classify(`${name}: $${i + 1}`, pair, [one.known, other.known]);
    fixed.push('fixed' in found ? found.fixed : null);
    if ('fixed' in found) continue;
    const like = [String(pair[0]), String(pair[1])] as const;
    const same = variables.find((known) => known.like[0] === like[0] && known.like[1] === like[1]);
    if (same === undefined) variables.push({ at: [i], make: found, like });
    else same.at.push(i);
  }
  return { name, text, fixed, variables: variables.map(({ at, make }) => ({ at, make })) };
}

function classify(
  where: string,
  [one, other]: readonly [unknown, unknown],
  known: readonly [Sample['known'], Sample['known']],
): Classified {
  const name = Object.keys(known[0]).find(
    (candidate) => known[0][candidate]?.(one) === true && known[1][candidate]?.(other) === true,
  );
  // First: what two people have in common by chance, such as the second of their sign-in, is no constant.
  if (name !== undefined) return { known: name };
  if (one === other && isFixed(one)) return { fixed: one };
  if (Buffer.isBuffer(one) && Buffer.isBuffer(other) && one.length === other.length) {
    return { bytes: one.length };
  }
  if (typeof one === 'string' && typeof other === 'string') {
    const version = uuidVersion(one);
    if (version !== undefined && version === uuidVersion(other)) return { uuid: version };
    if (one.startsWith('{') && other.startsWith('{')) return jsonOf(where, [one, other], known);
  }
  throw new Error(`${where} differs from person to person, and the floor does not know what it is`);
}

function jsonOf(
  where: string,
  [one, other]: readonly [string, string],
  known: readonly [Sample['known'], Sample['known']],
): Make {
  const [left, right]: Record<string, unknown>[] = [JSON.parse(one), JSON.parse(other)];
  const leaves = Object.entries(left ?? {}).map(([name, value]) => {
    if (isFixedList(value) && isDeepStrictEqual(value, right?.[name])) {
      return [name, { fixed: value }] as const;
    }
    const leaf = classify(`${where}, ${name}`, [value, right?.[name]], known);
    if ('known' in leaf || 'fixed' in leaf) return [name, leaf] as const;
    throw new Error(`${where}, ${name}: the floor does not know what it is`);
  });
  return { json: Object.fromEntries(leaves) };
}

function plain(value: unknown): unknown {
  return value instanceof Date ? value.toISOString() : value;
}

function isFixed(value: unknown): value is Fixed {
  return value === null || ['string', 'number', 'boolean'].includes(typeof value);
}

function isFixedList(value: unknown): value is readonly Fixed[] {
  return Array.isArray(value) && value.every(isFixed);
}

function uuidVersion(text: string): 4 | 7 | undefined {
  const version = /^[0-9a-f]{8}-[0-9a-f]{4}-([47])[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/.exec(
    text,
  )?.[1];
  return version === undefined ? undefined : version === '4' ? 4 : 7;
}
