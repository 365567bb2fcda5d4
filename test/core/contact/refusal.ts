import { expect } from 'vitest';
import { DomainError } from '../../../src/core/errors.js';

/** What `act` throws, which must be a `DomainError` of this reason about this one field. */
export function refusal(reason: string, field: string, act: () => unknown): DomainError {
  try {
    act();
  } catch (error) {
    expect(error).toBeInstanceOf(DomainError);
    if (!(error instanceof DomainError)) throw error;
    expect(error.reason).toBe(reason);
    expect(error.violations.map((violation) => violation.field)).toEqual([field]);
    expect(error.violations[0]?.description).toMatch(/^\S.{10,}$/);
    expect(error.metadata).toEqual({ field });
    return error;
  }
  throw new Error(`expected ${reason} about ${field}`);
}

/** The value, or undefined where it was refused; anything but a `DomainError` fails the test. */
export function accepted<T>(act: () => T): T | undefined {
  try {
    return act();
  } catch (error) {
    if (error instanceof DomainError) return undefined;
    throw error;
  }
}
