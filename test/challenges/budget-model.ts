/**
 * What `docs/architecture.md` says of guess budgets, once more, in memory and in its plainest form:
 * the statements are held equal to it.
 */
export type Lane = 'session' | 'anonymous';

export const MODEL = {
  maxFailures: 5,
  lockout: 950,
  codeLife: 3_650,
  windowLimit: 50,
  window: 30 * 24 * 3_600,
} as const;

interface Row {
  failures: number;
  lockedAt: number | undefined;
  lockedUntil: number | undefined;
  window: number;
  windowStart: number;
}

interface Slot {
  address: number;
  issuedAt: number;
  long: boolean;
}

export type Answer =
  | { readonly name: 'CODE_EXPIRED' | 'VERIFICATION_LOCKED' | 'CODE_ATTEMPTS_EXHAUSTED' | 'right' }
  | { readonly name: 'CODE_INVALID'; readonly left: number };

export interface BudgetModel {
  advance(seconds: number): void;
  /** Puts a row into the state of having been wrong so often in this window, and open. */
  wear(row: { kind: 'account' | 'address'; index: number; lane: Lane }, wrong: number): void;
  /** By a person who is signed in, or at sign-up, where no budget of the account is asked. */
  send(account: number, address: number, how: Lane): 'short' | 'long' | 'VERIFICATION_LOCKED';
  guess(
    account: number,
    lane: Lane,
    right: boolean,
  ): { readonly answer: Answer; readonly judged: boolean };
  /** Failures in a row and in the window, of every row that was ever charged. */
  rows(): Readonly<Record<string, { failures: number; window: number }>>;
}

const LANES: readonly Lane[] = ['session', 'anonymous'];

export function createBudgetModel(): BudgetModel {
  const rows = new Map<string, Row>();
  const slots = new Map<number, Slot>();
  let now = 0;
  /** No two steps are at the same moment: a code sent after a lock is younger than it. */
  const tick = () => {
    now += 0.001;
  };

  const keyOf = (kind: 'account' | 'address', index: number, lane: Lane) =>
    `${kind} ${index} ${lane}`;
  const isLocked = (row: Row | undefined) =>
    row?.lockedUntil !== undefined && now < row.lockedUntil;
  // Real time goes on a little between steps, so that an exact span is over.
  const isClosed = (row: Row | undefined) =>
    row !== undefined && row.window >= MODEL.windowLimit && now < row.windowStart + MODEL.window;
  const isShut = (row: Row | undefined) => isLocked(row) || isClosed(row);

  const charge = (key: string): number => {
    const row = rows.get(key) ?? {
      failures: 0,
      lockedAt: undefined,
      lockedUntil: undefined,
      window: 0,
      windowStart: now,
    };
    // A lock that is over begins a new count.
    row.failures = row.lockedUntil === undefined ? row.failures + 1 : 1;
    row.lockedUntil = undefined;
    if (now >= row.windowStart + MODEL.window) row.window = 0;
    // Every counted guess begins the 30 days anew.
    row.windowStart = now;
    row.window += 1;
    if (row.failures === MODEL.maxFailures) {
      row.lockedAt = now;
      row.lockedUntil = now + MODEL.lockout;
    }
    rows.set(key, row);
    return row.failures;
  };

  return {
    advance: (seconds) => {
      now += seconds;
    },

    wear({ kind, index, lane }, wrong) {
      rows.set(keyOf(kind, index, lane), {
        failures: 0,
        lockedAt: undefined,
        lockedUntil: undefined,
        window: wrong,
        windowStart: now,
      });
    },

    send(account, address, how) {
      tick();
      const own = rows.get(keyOf('account', account, 'session'));
      if (how === 'session' && isLocked(own) && !isClosed(own)) return 'VERIFICATION_LOCKED';
      const long =
        LANES.some((lane) => isShut(rows.get(keyOf('address', address, lane)))) ||
        (how === 'session' &&
          (isClosed(own) || isShut(rows.get(keyOf('account', account, 'anonymous')))));
      slots.set(account, { address, issuedAt: now, long });
      return long ? 'long' : 'short';
    },

    guess(account, lane, right) {
      tick();
      const slot = slots.get(account);
      if (slot === undefined || now >= slot.issuedAt + MODEL.codeLife) {
        return { answer: { name: 'CODE_EXPIRED' }, judged: false };
      }
      const keys = [keyOf('account', account, lane), keyOf('address', slot.address, lane)] as const;
      const visible = lane === 'session' ? keys : [keys[1]];
      const isDead = (key: string) => {
        const lockedAt = rows.get(key)?.lockedAt;
        return !slot.long && lockedAt !== undefined && lockedAt >= slot.issuedAt;
      };
      const refused: Answer | undefined = slot.long
        ? undefined
        : visible.some((key) => isShut(rows.get(key)))
          ? { name: 'VERIFICATION_LOCKED' }
          : visible.some(isDead)
            ? { name: 'CODE_ATTEMPTS_EXHAUSTED' }
            : undefined;
      const dead = keys.filter(isDead);
      const charged = new Map<string, number>();
      // A dead code that its holder may know to be dead costs nothing; any other guess costs each row
      // that is open, the one beside a shut one too.
      if (!visible.some(isDead)) {
        for (const key of keys) if (!isShut(rows.get(key))) charged.set(key, charge(key));
      }
      if (refused !== undefined) return { answer: refused, judged: false };
      const judged = slot.long || (charged.size === 2 && dead.length === 0);
      if (judged && right) {
        slots.delete(account);
        for (const key of keys) {
          const row = rows.get(key);
          if (row === undefined) continue;
          row.failures = 0;
          row.lockedUntil = undefined;
          if (charged.has(key)) row.window -= 1;
        }
        return { answer: { name: 'right' }, judged };
      }
      const left = visible.map(
        (key) => MODEL.maxFailures - (charged.get(key) ?? MODEL.maxFailures),
      );
      return { answer: { name: 'CODE_INVALID', left: Math.min(...left) }, judged };
    },

    rows: () =>
      Object.fromEntries(
        [...rows].map(([key, { failures, window }]) => [key, { failures, window }]),
      ),
  };
}
