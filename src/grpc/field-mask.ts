import { fieldInvalid } from '../core/errors.js';

/**
 * Which of the fields an update is about (AIP-134): those that the mask names, all of them for `*`, and
 * without a mask those that are given. `values` has them all, by their proto names; an empty one is cleared only
 * where it is named. Throws `FIELD_INVALID` for a path that is no field.
 */
export function namedFields<Field extends string>(
  mask: readonly string[] | undefined,
  values: Readonly<Record<Field, string>>,
): ReadonlySet<Field> {
  const fields = Object.keys(values) as Field[];
  if (mask === undefined || mask.length === 0)
    return new Set(fields.filter((field) => values[field] !== ''));
  const isField = (path: string): path is Field => Object.hasOwn(values, path);
  if (mask.some((path) => path !== '*' && !isField(path)))
    throw fieldInvalid('update_mask', `may name ${fields.join(', ')}, or be * for all`);
  return new Set(mask.includes('*') ? fields : mask.filter(isField));
}
