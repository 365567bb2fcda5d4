import type { Clock } from '../core/clock.js';
import type { Logger } from '../core/logger.js';
import type { Db } from '../db/index.js';
import { endedSince, type RevokedAccountRow, revokedSince } from './ended-session-store.js';
import { repeat } from './repeat.js';

/**
 * The sessions that have ended, and the accounts whose sessions were all revoked, within the life
 * of an access token: what introspection knows beside the signature. Polled every second, so at
 * most two seconds old; while the database is away it answers from the last known state (a token
 * then stays good until it expires, as it does for everybody who verifies offline).
 */
export interface EndedSessions extends AsyncDisposable {
  /**
   * Whether a token of this session, of somebody who authenticated at `authTime`, has lost its
   * power.
   */
  has(sessionId: string, accountId: string, authTime: Date): boolean;
  /** This process has ended a session itself and need not wait for the poll to learn of it. */
  add(sessionId: string): void;
  /** The same of an account whose sessions it has revoked. */
  revoke(account: RevokedAccountRow): void;
  /** Reads what has changed now. Rejects, and keeps what it had, where that fails. */
  poll(): Promise<void>;
  /** Age of the last successful poll. */
  staleForMs(): number;
  /** Sessions and accounts that it remembers. */
  readonly size: number;
}

export interface EndedSessionsDeps {
  readonly db: Db;
  readonly clock: Clock;
  readonly log: Logger;
  /** ACCESS_TOKEN_TTL. */
  readonly accessTokenSeconds: number;
  readonly pollMs?: number;
}

const POLL_MS = 1_000;
/**
 * A row says when its statement began and shows when it commits: polls overlap by the longest of
 * these.
 */
const OVERLAP_SECONDS = 15;
/** For access tokens signed just after their session ended, and for clocks that differ. */
const MARGIN_SECONDS = 60;
/** Longer than this without a successful poll is an error and no hiccup. */
const STALE_MS = 10_000;

interface Revocation {
  readonly epoch: number;
  readonly second: number;
  readonly casualties: ReadonlySet<string>;
  readonly survivors: ReadonlySet<string>;
  readonly until: number;
}

/** Starts with what has ended already: rejects when the database cannot say. */
export async function createEndedSessions(deps: EndedSessionsDeps): Promise<EndedSessions> {
  const { db, clock } = deps;
  const keepSeconds = deps.accessTokenSeconds + MARGIN_SECONDS;
  // Both keep the order of insertion, which is the order of `until`: the oldest are in front. They
  // are bounded by what ends within one token lifetime.
  const sessions = new Map<string, number>();
  const accounts = new Map<string, Revocation>();
  let polledAt: number | undefined;

  const add = (sessionId: string): void => {
    if (!sessions.has(sessionId))
      sessions.set(sessionId, clock.now().getTime() + keepSeconds * 1000);
  };
  const revoke = (row: RevokedAccountRow): void => {
    const known = accounts.get(row.account_id);
    // A poll that had read before this process revoked again.
    if (known !== undefined && known.epoch > row.session_epoch) return;
    const again = known?.epoch === row.session_epoch;
    if (!again) accounts.delete(row.account_id);
    accounts.set(row.account_id, {
      epoch: row.session_epoch,
      second: row.raised_second,
      casualties: new Set(row.casualties),
      survivors: new Set(row.survivors),
      until: again ? known.until : clock.now().getTime() + keepSeconds * 1000,
    });
  };
  const poll = async (): Promise<void> => {
    const startedAt = clock.now().getTime();
    const since = polledAt === undefined ? keepSeconds : (startedAt - polledAt) / 1000;
    const seconds = Math.min(keepSeconds, Math.max(0, since) + OVERLAP_SECONDS);
    for await (const page of endedSince(db, clock, seconds)) page.forEach(add);
    for await (const page of revokedSince(db, clock, seconds)) page.forEach(revoke);
    polledAt = startedAt;
    dropExpired(sessions, (until) => until, startedAt);
    dropExpired(accounts, ({ until }) => until, startedAt);
  };
  const staleForMs = (): number => Math.max(0, clock.now().getTime() - (polledAt ?? 0));

  await poll();
  const loop = repeat(deps.pollMs ?? POLL_MS, reporting(deps.log, poll, staleForMs));
  return {
    has(sessionId, accountId, authTime) {
      if (sessions.has(sessionId)) return true;
      const revoked = accounts.get(accountId);
      if (revoked === undefined) return false;
      // By when the person authenticated, not by when the token was signed: a refresh that ran
      // beside the revocation may have signed after it.
      const began = Math.floor(authTime.getTime() / 1000);
      if (began === revoked.second) return revoked.casualties.has(sessionId);
      return began < revoked.second && !revoked.survivors.has(sessionId);
    },
    add,
    revoke,
    poll,
    staleForMs,
    get size() {
      return sessions.size + accounts.size;
    },
    [Symbol.asyncDispose]: () => loop[Symbol.asyncDispose](),
  };
}

function dropExpired<T>(entries: Map<string, T>, untilOf: (entry: T) => number, now: number): void {
  for (const [key, entry] of entries) {
    if (untilOf(entry) > now) return;
    entries.delete(key);
  }
}

/**
 * Logs when polls begin to fail, when that has lasted too long, and when it is over: not each
 * second.
 */
function reporting(log: Logger, poll: () => Promise<void>, staleForMs: () => number) {
  let reported: 'fine' | 'failing' | 'stale' = 'fine';
  return async (): Promise<void> => {
    try {
      await poll();
      if (reported !== 'fine') log.info({}, 'ended sessions are polled again');
      reported = 'fine';
    } catch (error) {
      const stale = staleForMs() > STALE_MS;
      const fields = { err: error, staleForMs: staleForMs() };
      if (stale && reported !== 'stale') {
        log.error(
          fields,
          'ended sessions are unknown: introspection answers from the last known state',
        );
      } else if (reported === 'fine') {
        log.warn(fields, 'ended sessions could not be polled');
      }
      reported = stale ? 'stale' : 'failing';
    }
  };
}
