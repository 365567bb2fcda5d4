import { describe, expect, it } from 'vitest';
import type { BudgetPolicy, Lane } from '../../src/challenges/guess-budget.js';
import { mayCompare, wrongGuess } from '../../src/challenges/index.js';
import type { ChargedGuess, ChargedRow } from '../../src/challenges/judge-guess.js';
import { DomainError } from '../../src/core/errors.js';

const policy: BudgetPolicy = {
  maxFailures: 5,
  lockoutSeconds: 900,
  growingWaits: false,
  window: 'last' as const,
};

/** What a charge can find of a row. */
const rows = {
  open: { charged: true, failures: 2, waitSeconds: null, dead: false },
  /** The guess that shut it, and was still charged. */
  last: { charged: true, failures: 5, waitSeconds: null, dead: false },
  /** It was shut when the statement began, and open when it wrote: charged. */
  opening: { charged: true, failures: 1, waitSeconds: 1, dead: false },
  /** Shut, by a code that was sent since: after a lock that is still on. */
  shut: { charged: false, failures: 0, waitSeconds: 30, dead: false },
  shutAndDead: { charged: false, failures: 0, waitSeconds: 30, dead: true },
  /** The statement saw it open, and a rival shut it first. */
  shutMeanwhile: { charged: false, failures: 0, waitSeconds: null, dead: false },
  /** Open again, and the code is older than the lock. */
  dead: { charged: false, failures: 0, waitSeconds: null, dead: true },
  /** The same of a row that does not decide the charge: the account's, without a session. */
  deadAndCharged: { charged: true, failures: 1, waitSeconds: null, dead: true },
} as const satisfies Record<string, ChargedRow>;
type Kind = keyof typeof rows;
const kinds = Object.keys(rows) as Kind[];
const lanes = ['session', 'anonymous'] as const;

function outcome(
  guess: ChargedGuess,
  lane: Lane,
): { readonly name: string; readonly wait?: number } {
  try {
    return { name: mayCompare(guess, lane, policy) ? 'compared' : 'as if wrong' };
  } catch (error) {
    if (!(error instanceof DomainError)) throw error;
    const wait = error.retryAfterSeconds;
    return { name: error.reason, ...(wait === undefined ? {} : { wait }) };
  }
}

const guessOf = (account: Kind, address: Kind, longCode = false): ChargedGuess => ({
  account: rows[account],
  address: rows[address],
  longCode,
});
const every = kinds.flatMap((account) => kinds.map((address) => [account, address] as const));

describe('judging a guess after its charge', () => {
  const L = 'VERIFICATION_LOCKED';
  const X = 'CODE_ATTEMPTS_EXHAUSTED';
  const C = 'compared';
  const W = 'as if wrong';
  /** Rows: the account's; columns: the address's, in the order of `kinds`. */
  const session: Record<Kind, readonly string[]> = {
    //               open last opening shut shutAndDead meanwhile dead deadAndCharged
    open: [C, C, C, L, L, L, X, X],
    last: [C, C, C, L, L, L, X, X],
    opening: [C, C, C, L, L, L, X, X],
    shut: [L, L, L, L, L, L, L, L],
    shutAndDead: [L, L, L, L, L, L, L, L],
    // Beside a dead code neither row was charged: that alone does not say that it is shut.
    shutMeanwhile: [L, L, L, L, L, L, X, X],
    dead: [X, X, X, L, L, X, X, X],
    deadAndCharged: [X, X, X, L, L, X, X, X],
  };
  /** Without a session, by the address's row: where the account's is open, and where it is not. */
  const anonymous: Record<Kind, readonly [string, string]> = {
    open: [C, W],
    last: [C, W],
    opening: [C, W],
    shut: [L, L],
    shutAndDead: [L, L],
    shutMeanwhile: [L, L],
    dead: [X, X],
    deadAndCharged: [X, X],
  };

  it.each(kinds)(
    'signed in, with the account row %s: shut before dead before compared',
    (account) => {
      const found = kinds.map((address) => outcome(guessOf(account, address), 'session').name);
      expect(found).toEqual(session[account]);
    },
  );

  it.each(kinds)(
    'without a session, with the address row %s: the account row decides in silence',
    (address) => {
      const [ifOpen, ifNot] = anonymous[address];
      for (const account of kinds) {
        const isOpen = account === 'open' || account === 'last' || account === 'opening';
        expect(outcome(guessOf(account, address), 'anonymous').name, account).toBe(
          isOpen ? ifOpen : ifNot,
        );
      }
    },
  );

  it('compares nothing unless both rows were charged, whichever they are', () => {
    for (const lane of lanes) {
      for (const [account, address] of every) {
        if (outcome(guessOf(account, address), lane).name !== C) continue;
        expect([rows[account].charged, rows[address].charged]).toEqual([true, true]);
        expect([rows[account].dead, rows[address].dead]).toEqual([false, false]);
      }
    }
  });

  it('always judges a long code without a session', () => {
    for (const [account, address] of every) {
      expect(outcome(guessOf(account, address, true), 'anonymous').name).toBe(C);
    }
  });

  it('tells nothing of the account to whoever has no session: not in reason, wait or tries left', () => {
    for (const longCode of [false, true]) {
      for (const address of kinds) {
        const seen = kinds.map((account) => {
          const guess = guessOf(account, address, longCode);
          const { name, wait } = outcome(guess, 'anonymous');
          const wrong = wrongGuess('code', guess, 'anonymous', policy);
          const { reason, metadata, violations, message, retryAfterSeconds } = wrong;
          // Compared and wrong looks as what was never compared.
          return {
            name: name === C ? W : name,
            wait,
            reason,
            metadata,
            violations,
            message,
            retryAfterSeconds,
          };
        });
        for (const other of seen) expect(other).toEqual(seen[0]);
      }
    }
  });

  it('names the longest wait that may be seen, the whole lockout where it is not known, never less than a second', () => {
    const shut = (waitSeconds: number | null): ChargedRow => ({ ...rows.shut, waitSeconds });
    const wait = (account: ChargedRow, address: ChargedRow, lane: Lane) => {
      try {
        mayCompare({ account, address, longCode: false }, lane, policy);
      } catch (error) {
        return error instanceof DomainError ? error.retryAfterSeconds : undefined;
      }
      return undefined;
    };
    expect(wait(shut(30), shut(70), 'session')).toBe(70);
    expect(wait(shut(70), shut(30), 'session')).toBe(70);
    expect(wait(shut(70), shut(30), 'anonymous')).toBe(30);
    expect(wait(rows.open, shut(null), 'session')).toBe(900);
    expect(wait(shut(0), rows.open, 'session')).toBe(1);
  });
});

describe('a wrong guess', () => {
  const left = (guess: ChargedGuess, lane: Lane) =>
    wrongGuess('code', guess, lane, policy).metadata['attempts_left'];
  const wrongTimes = (failures: number): ChargedRow => ({ ...rows.open, failures });

  it('leaves what the fuller of both rows leaves to the person signed in', () => {
    expect(
      left({ account: wrongTimes(1), address: wrongTimes(4), longCode: false }, 'session'),
    ).toBe('1');
    expect(
      left({ account: wrongTimes(4), address: wrongTimes(1), longCode: false }, 'session'),
    ).toBe('1');
  });

  it('leaves what the address leaves to anybody else', () => {
    expect(
      left({ account: wrongTimes(4), address: wrongTimes(1), longCode: false }, 'anonymous'),
    ).toBe('4');
    expect(left({ account: rows.shut, address: wrongTimes(1), longCode: false }, 'anonymous')).toBe(
      '4',
    );
  });

  it('leaves nothing after the last, and never less than nothing', () => {
    for (const failures of [5, 6, 50]) {
      expect(
        left({ account: wrongTimes(failures), address: wrongTimes(1), longCode: false }, 'session'),
      ).toBe('0');
    }
    expect(left({ account: rows.open, address: rows.shut, longCode: true }, 'anonymous')).toBe('0');
  });

  it('names its field', () => {
    const error = wrongGuess('code', guessOf('open', 'open'), 'session', policy);
    expect(error.reason).toBe('CODE_INVALID');
    expect(error.violations).toEqual([{ field: 'code', description: 'the code is wrong' }]);
  });
});
