import { type Options, parseOptions } from '@node-rs/argon2';

/** The cost of one Argon2id computation. */
export interface Argon2Parameters {
  readonly memoryKib: number;
  readonly iterations: number;
  readonly parallelism: number;
}

/** OWASP's least costly recommended setting; configuration below it refuses to boot (rule 15). */
export const ARGON2_FLOOR: Argon2Parameters = {
  memoryKib: 19_456,
  iterations: 2,
  parallelism: 1,
};

/** Far above any sensible choice: it bounds what an imported hash can make this process compute. */
const ARGON2_CEILING: Argon2Parameters = {
  memoryKib: 1_048_576,
  iterations: 64,
  parallelism: 64,
};

export const SALT_BYTES = 16;
export const OUTPUT_BYTES = 32;

/** The library's `Algorithm` is an ambient const enum, which isolated modules cannot read. */
const ARGON2ID = 2;
const VERSION_1_3 = 1;

/** Says what is wrong with configured parameters, or nothing. */
export function checkArgon2Floor(parameters: Argon2Parameters): string | undefined {
  for (const name of ['memoryKib', 'iterations', 'parallelism'] as const) {
    const value = parameters[name];
    const [low, high] = [ARGON2_FLOOR[name], ARGON2_CEILING[name]];
    if (!Number.isInteger(value) || value < low || value > high) {
      return `Argon2 ${name} must be a whole number from ${low} to ${high}, not ${value}`;
    }
  }
  return undefined;
}

/** The computations themselves, one per call: tests count them here. */
export interface Argon2 {
  hash(
    password: string,
    salt: Buffer,
    parameters: Argon2Parameters,
    secret: Buffer | undefined,
  ): Promise<string>;
  verify(encoded: string, password: string, secret: Buffer | undefined): Promise<boolean>;
}

/** How hashes are made today, but for salt and pepper. */
export function hashOptions(parameters: Argon2Parameters): Options {
  return {
    algorithm: ARGON2ID,
    version: VERSION_1_3,
    memoryCost: parameters.memoryKib,
    timeCost: parameters.iterations,
    parallelism: parameters.parallelism,
    outputLen: OUTPUT_BYTES,
  };
}

/** What a stored hash says of itself. */
interface StoredArgon2 {
  readonly parameters: Argon2Parameters;
  /** Same algorithm version, salt and output size as hashes made today. */
  readonly currentShape: boolean;
}

/** Reads an encoded hash; `undefined` for anything that is not an Argon2id hash we would compute. */
export function readArgon2(encoded: string): StoredArgon2 | undefined {
  const options = tryParse(encoded);
  if (options === undefined || options.algorithm !== ARGON2ID) return undefined;
  const parameters: Argon2Parameters = {
    memoryKib: options.memoryCost,
    iterations: options.timeCost,
    parallelism: options.parallelism,
  };
  // A short output could be met by chance; a huge cost would hold a permit for minutes.
  if (options.outputLen < SALT_BYTES || exceedsCeiling(parameters)) return undefined;
  return {
    parameters,
    currentShape:
      options.version === VERSION_1_3 &&
      options.outputLen === OUTPUT_BYTES &&
      options.saltLen === SALT_BYTES,
  };
}

/**
 * An encoded hash that no password can match: verifying against it costs what verifying a real
 * hash with these parameters costs. Nothing is computed to make it.
 */
export function decoyArgon2(parameters: Argon2Parameters, salt: Buffer, output: Buffer): string {
  const { memoryKib, iterations, parallelism } = parameters;
  const cost = `m=${memoryKib},t=${iterations},p=${parallelism}`;
  return `$argon2id$v=19$${cost}$${base64(salt)}$${base64(output)}`;
}

function tryParse(encoded: string): ReturnType<typeof parseOptions> | undefined {
  try {
    return parseOptions(encoded);
  } catch {
    return undefined;
  }
}

function exceedsCeiling(parameters: Argon2Parameters): boolean {
  return (
    parameters.memoryKib > ARGON2_CEILING.memoryKib ||
    parameters.iterations > ARGON2_CEILING.iterations ||
    parameters.parallelism > ARGON2_CEILING.parallelism
  );
}

function base64(bytes: Buffer): string {
  return bytes.toString('base64').replaceAll('=', '');
}
