/**
 * Guess budgets as `docs/architecture.md` tells of them, in memory: what the model expects of codes and of
 * passwords, and an account of every comparison that was really made.
 */
export type Lane = 'session' | 'anonymous';

export const MAX_FAILURES = 5;
export const LOCKOUT = 15 * 60;
const LONG_WINDOW = 30 * 86_400;
const CODE_WINDOW_FAILURES = 50;
/** What is left of the long window, after it was worn, is two. */
export const WORN = CODE_WINDOW_FAILURES - 2;
const PASSWORD_WINDOW_FAILURES = 100;

export interface Policy {
  /** Each lock in a row doubles the wait. */
  readonly growingWaits: boolean;
  /** Whether every wrong guess begins the 30 days anew. */
  readonly slides: boolean;
}

export const codePolicy: Policy = { growingWaits: false, slides: true };
export const passwordPolicy: Policy = { growingWaits: true, slides: false };

interface Row {
  failures: number;
  locks: number;
  lockedAt: number;
  lockedUntil: number;
  window: number;
  windowStart: number;
}

/** What a code is guessed at: its two rows, and how the challenge was issued. */
export interface Guess {
  readonly account: string;
  readonly address: string;
  readonly lane: Lane;
  readonly issuedAt: number;
  readonly longChallenge: boolean;
  readonly longTyped: boolean;
}

export interface Judgement {
  readonly judged: boolean;
  /** Undefined: as the code is. */
  readonly refusal?: 'VERIFICATION_LOCKED' | 'CODE_ATTEMPTS_EXHAUSTED' | 'CODE_INVALID';
  /** Success: clears both rows, and refunds this guess's own charges. */
  succeed(): void;
}

export interface Budgets {
  /** Charges a code before it is judged. */
  guess(now: number, guess: Guess): Judgement;
  /** Charges a row of passwords; false: it is shut. */
  chargePassword(now: number, key: string, limited: boolean): boolean;
  clear(key: string, refund: boolean): void;
  /** Lifts all that rows count, but for the long window of codes. */
  lift(keys: readonly string[]): void;
  /** Every row of codes has been wrong so often that two more are all it takes; which ones those are. */
  wear(now: number): readonly string[];
  /** Rows that say nothing any more. */
  forget(now: number): void;
  isLocked(now: number, key: string): boolean;
  isClosed(now: number, key: string): boolean;
  isShut(now: number, key: string): boolean;
}

const isOfPasswords = (key: string): boolean => key.includes('|password|');

export function rowKey(subject: string, channel: string, lane: Lane): string {
  return `${subject}|${channel}|${lane}`;
}

export function createBudgets(): Budgets {
  const rows = new Map<string, Row>();
  const isLocked = (now: number, key: string) => now < (rows.get(key)?.lockedUntil ?? 0);
  const isFull = (now: number, key: string, limit: number) => {
    const row = rows.get(key);
    return row !== undefined && row.window >= limit && now < row.windowStart + LONG_WINDOW;
  };
  const isClosed = (now: number, key: string) => isFull(now, key, CODE_WINDOW_FAILURES);
  const isShut = (now: number, key: string) => isLocked(now, key) || isClosed(now, key);

  const charge = (now: number, key: string, policy: Policy): void => {
    const row = rows.get(key) ?? newRow(now);
    const afterLock = row.lockedUntil > 0;
    row.failures = afterLock ? 1 : row.failures + 1;
    row.lockedUntil = 0;
    const windowOver = now >= row.windowStart + LONG_WINDOW;
    row.window = windowOver ? 1 : row.window + 1;
    if (windowOver || policy.slides) row.windowStart = now;
    if (row.failures >= MAX_FAILURES) {
      const times = policy.growingWaits ? 2 ** Math.min(row.locks, 6) : 1;
      row.lockedAt = now;
      row.lockedUntil = now + LOCKOUT * times;
      row.locks += 1;
    }
    rows.set(key, row);
  };
  const clear = (key: string, refund: boolean): void => {
    const row = rows.get(key);
    if (row === undefined) return;
    Object.assign(row, { failures: 0, locks: 0, lockedUntil: 0 });
    if (refund) row.window = Math.max(0, row.window - 1);
  };

  return {
    guess(now, { account, address, lane, issuedAt, longChallenge, longTyped }) {
      const keys = [account, address];
      const visible = lane === 'session' ? keys : [address];
      const isDead = (key: string) => !longChallenge && (rows.get(key)?.lockedAt ?? -1) >= issuedAt;
      const shutBefore = visible.some((key) => isShut(now, key));
      const deadBefore = keys.filter(isDead);
      const visiblyDead = visible.some((key) => deadBefore.includes(key));
      const charged = visiblyDead ? [] : keys.filter((key) => !isShut(now, key));
      for (const key of charged) charge(now, key, codePolicy);
      const succeed = () => {
        for (const key of keys) clear(key, charged.includes(key));
      };
      if (longChallenge && longTyped) return { judged: true, succeed };
      if (shutBefore) return { judged: false, refusal: 'VERIFICATION_LOCKED', succeed };
      if (visiblyDead) return { judged: false, refusal: 'CODE_ATTEMPTS_EXHAUSTED', succeed };
      if (charged.length === 2 && deadBefore.length === 0) return { judged: true, succeed };
      return { judged: false, refusal: 'CODE_INVALID', succeed };
    },
    chargePassword(now, key, limited) {
      const full = limited && isFull(now, key, PASSWORD_WINDOW_FAILURES);
      if (isLocked(now, key) || full) return false;
      charge(now, key, passwordPolicy);
      return true;
    },
    clear,
    lift(keys) {
      for (const key of keys) {
        const row = rows.get(key);
        if (row === undefined) continue;
        Object.assign(row, { failures: 0, locks: 0, lockedUntil: 0 });
        if (isOfPasswords(key)) row.window = 0;
      }
    },
    wear(now) {
      const codes = [...rows].filter(([key]) => !isOfPasswords(key));
      for (const [, row] of codes) Object.assign(row, { window: WORN, windowStart: now });
      return codes.map(([key]) => key);
    },
    forget(now) {
      for (const [key, { windowStart, lockedUntil }] of rows)
        if (now >= windowStart + LONG_WINDOW && now >= lockedUntil) rows.delete(key);
    },
    isLocked,
    isClosed,
    isShut,
  };
}

function newRow(now: number): Row {
  return { failures: 0, locks: 0, lockedAt: -1, lockedUntil: 0, window: 0, windowStart: now };
}

/**
 * Every comparison of an ordinary code that was wrong, by row, as it was seen to be made: whatever the
 * service believes of its counts, no row may have more than its budget.
 */
export function createComparisonLedger() {
  const inARow = new Map<string, number[]>();
  const inAll = new Map<string, number[]>();
  const add = (to: Map<string, number[]>, key: string, now: number, span: number): number => {
    const moments = [...(to.get(key) ?? []), now].filter((moment) => moment > now - span);
    to.set(key, moments);
    return moments.length;
  };
  return {
    wrong(now: number, keys: readonly string[]): void {
      for (const key of keys) {
        const lately = add(inARow, key, now, LOCKOUT);
        const altogether = add(inAll, key, now, LONG_WINDOW);
        if (lately > MAX_FAILURES)
          throw new Error(`${lately} wrong codes were compared within a lockout at ${key}`);
        if (altogether > CODE_WINDOW_FAILURES)
          throw new Error(`${altogether} wrong codes were compared within 30 days at ${key}`);
      }
    },
    wear(now: number, keys: readonly string[]): void {
      for (const key of keys) inAll.set(key, Array(WORN).fill(now));
    },
    /** A right code, or a recovery, begins the count in a row anew; nothing begins the other. */
    right(keys: readonly string[]): void {
      for (const key of keys) inARow.delete(key);
    },
  };
}
