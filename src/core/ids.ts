import { randomBytes, randomInt } from 'node:crypto';
import { v4, v7 } from 'uuid';

/** Randomness is injected, so that tests can fix it; production uses the operating system's CSPRNG. */
export interface Random {
  bytes(size: number): Buffer;
  /** Uniform decimal digits, leading zeros included (rule 1). */
  digits(length: number): string;
  /** A time-ordered id (UUID v7) for rows: it names, and is no secret. */
  id(): string;
  /** An id that is also a handle (UUID v4, 122 random bits): whoever has it was given it. */
  handle(): string;
}

export const systemRandom: Random = {
  bytes: (size) => randomBytes(size),
  digits: (length) => Array.from({ length }, () => randomInt(10)).join(''),
  id: () => v7(),
  handle: () => v4(),
};
