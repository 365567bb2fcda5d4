import { randomBytes, randomInt } from 'node:crypto';
import { v4, v7 } from 'uuid';

/** Randomness is injected, so that tests can fix it; production uses the operating system's CSPRNG. */
export interface Random {
  bytes(size: number): Buffer;
  /** As random, and no secret: for nonces, of which many are wanted at a time. */
  nonce(size: number): Buffer;
  /** Uniform decimal digits, leading zeros included (rule 1). */
  digits(length: number): string;
  /** A time-ordered id (UUID v7) for rows: it names, and is no secret. */
  id(): string;
  /** An id that is also a handle (UUID v4, 122 random bits): whoever has it was given it. */
  handle(): string;
}

/** Asked of the system at once: to ask costs more than what is made of the bytes. */
const BLOCK_BYTES = 2_048;

/** Of these no secret is made: what waits in memory for its use must be none. */
function drawnInBlocks(): (size: number) => Buffer {
  let drawn: Buffer = Buffer.alloc(0);
  return (size) => {
    if (drawn.length < size) drawn = randomBytes(Math.max(size, BLOCK_BYTES));
    const taken = drawn.subarray(0, size);
    drawn = drawn.subarray(size);
    return taken;
  };
}

const ID_BYTES = 16;
/** The four bytes that the library would begin a sequence with; it uses them for nothing else. */
const SEQUENCE_AT = 6;

function timeOrderedIds(nonce: (size: number) => Buffer): () => string {
  let msecs = 0;
  let seq = 0;
  return () => {
    const random = nonce(ID_BYTES);
    // Those of one millisecond are in order too, each process's own.
    const now = Date.now();
    seq = now > msecs ? random.readUInt32BE(SEQUENCE_AT) >>> 1 : seq + 1;
    msecs = Math.max(now, msecs);
    return v7({ random, msecs, seq });
  };
}

const nonce = drawnInBlocks();

export const systemRandom: Random = {
  bytes: (size) => randomBytes(size),
  nonce,
  digits: (length) => Array.from({ length }, () => randomInt(10)).join(''),
  id: timeOrderedIds(nonce),
  handle: () => v4(),
};
