import { uniqueViolation } from './pg-errors.js';

/**
 * Runs a statement again where a rival, whom its snapshot did not show, made it run into this unique index:
 * the violation undid all of it, and now the rival is seen.
 */
export async function onceMore<T>(index: string, statement: () => Promise<T>): Promise<T> {
  try {
    return await statement();
  } catch (error) {
    if (uniqueViolation(error) === index) return statement();
    throw error;
  }
}
