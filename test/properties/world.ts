import { setTimeout as pause } from 'node:timers/promises';
import { sql } from 'kysely';
import type { Db } from '../../src/db/index.js';
import type { RenderedMessage } from '../../src/delivery/index.js';
import { createSweeps } from '../../src/workers/index.js';
import { silentLog, type TestDatabase } from '../support/databases.js';
import { unique } from '../support/people.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { WORN } from './budgets.js';
import type { Kind, Rules } from './model.js';

export interface IdentifierRow {
  readonly accountId: string;
  readonly status: 'active' | 'blocked' | 'deactivated' | 'closed';
  readonly hasPassword: boolean;
  readonly type: Kind | 'username';
  readonly value: string;
  readonly state: 'claimed' | 'verified' | 'contact' | 'lapsed' | 'disputed';
  readonly enabled: boolean;
  readonly keptDemoted: boolean;
  readonly provenBy: string | null;
}

/** Who lives here, and what they may call their own: five addresses, of which two are contested. */
export interface Cast {
  readonly emails: readonly (readonly string[])[];
  readonly phones: readonly (readonly string[])[];
  readonly all: readonly string[];
}

/** New people with addresses that nobody in the database has. */
export function newCast(): Cast {
  const [own, contested] = [unique.email(), unique.email()] as const;
  const [first, second, both] = [unique.phone(), unique.phone(), unique.phone()] as const;
  return {
    emails: [[own, contested], [contested], [contested]],
    phones: [[both], [first, both], [second, both]],
    all: [own, contested, first, second, both],
  };
}

/** The service, and the world around it: its mailbox, its operator, and the passing of time. */
export interface World extends AsyncDisposable {
  readonly app: TestApp;
  readonly rules: Rules;
  /** Waits until nothing is on its way; what has arrived since the last time. */
  arrivals(): Promise<readonly RenderedMessage[]>;
  jump(seconds: number): Promise<void>;
  /** The identifiers of these accounts, and whoever has these addresses. */
  rows(
    accountIds: readonly string[],
    addresses: readonly string[],
  ): Promise<readonly IdentifierRow[]>;
  readonly operator: ReturnType<typeof operatorOf>;
}

/** Of real time. */
const PATIENCE_MS = 20_000;
const WIDE = '1000000000/1h';

export async function openWorld(database: TestDatabase, rules: Rules): Promise<World> {
  const app = await startTestApp({
    database,
    env: settingsOf(rules),
    // Each step waits until its messages are known to be sent.
  });
  const sweeps = createSweeps(silentLog);
  let seen = 0;
  return {
    app,
    rules,
    operator: operatorOf(app),
    async arrivals() {
      const until = Date.now() + PATIENCE_MS;
      while (await isBusy(app.db)) {
        if (Date.now() > until) throw new Error(`on its way for too long: ${await lose(app.db)}`);
        await pause(1);
      }
      const arrived = app.mailbox.messages.slice(seen);
      seen += arrived.length;
      return arrived;
    },
    async jump(seconds) {
      app.clock.advance({ seconds });
      // What the sweeping worker does once a minute of real time, at a moment that the model knows.
      for (const { sweep } of sweeps) await sweep(app.db, app.clock, 10_000);
    },
    rows: (accountIds, addresses) => readRows(app.db, accountIds, addresses),
    [Symbol.asyncDispose]: () => app[Symbol.asyncDispose](),
  };
}

/** Soft limits out of the way, so that sequences go on: what must hold holds without them. */
function settingsOf(rules: Rules): Record<string, string> {
  const limits = [
    'SENDS_PER_ADDRESS_SHORT',
    'SENDS_PER_ADDRESS_LONG',
    'KNOWN_SENDS_PER_ADDRESS_SHORT',
    'KNOWN_SENDS_PER_ADDRESS_LONG',
    'SMS_PER_COUNTRY',
    'SMS_IN_ALL',
    'EMAIL_IN_ALL',
    'ANONYMOUS_IN_ALL',
    'SIGN_UPS_IN_ALL',
    'CALLS_PER_CALLER',
  ];
  return {
    ...Object.fromEntries(limits.map((name) => [`LIMIT_${name}`, WIDE])),
    // Longer than what counts as a recent authentication, or nobody would ever be asked for one.
    ACCESS_TOKEN_TTL: '1h',
    PROOF_COLLISION: rules.collision,
    RECOVERY_DELIVERY: rules.delivery,
    PROMOTE_EMAIL: rules.promote.email,
    PROMOTE_PHONE: rules.promote.phone,
    PHONE_SIGN_IN: rules.phoneSignIn,
  };
}

async function isBusy(db: Db): Promise<boolean> {
  const { rows } = await sql`select 1 from outbox where state = 'queued' limit 1`.execute(db);
  return rows.length > 0;
}

/** Takes what is on its way out of the world, so that nobody else waits for it, and says what it was. */
async function lose(db: Db): Promise<string> {
  const { rows } = await sql`delete from outbox where state = 'queued'
    returning kind, channel, attempts, last_error, due_at, expires_at, created_at`.execute(db);
  return JSON.stringify(rows);
}

async function readRows(
  db: Db,
  accountIds: readonly string[],
  addresses: readonly string[],
): Promise<readonly IdentifierRow[]> {
  const { rows } = await sql<IdentifierRow>`
    select a.account_id as "accountId", a.status, a.password_hash is not null as "hasPassword", i.type, i.value,
      i.state, i.sign_in_enabled as enabled, i.kept_demoted as "keptDemoted", i.proven_by as "provenBy"
    from identifiers i join accounts a on a.account_id = i.account_id
    where a.account_id = any(${accountIds}::uuid[]) or i.value = any(${addresses}::text[])`.execute(
    db,
  );
  return rows;
}

/** What no RPC can do yet, as an operator's will. */
function operatorOf({ db, clock }: TestApp) {
  const setStatus = async (accountId: string, status: 'active' | 'blocked') => {
    const raises = status === 'blocked' ? 1 : 0;
    const now = clock.now();
    await sql`
      with raised as (
        update accounts set status = ${status}, proof_epoch = proof_epoch + ${raises}::int,
          session_epoch = session_epoch + ${raises}::int
        where account_id = ${accountId}::uuid returning account_id, session_epoch)
      insert into session_epochs (account_id, session_epoch, raised_at)
      select account_id, session_epoch, ${now} from raised where ${raises}::int = 1
      on conflict (account_id) do update set session_epoch = excluded.session_epoch, raised_at = excluded.raised_at`.execute(
      db,
    );
  };
  return {
    block: (accountId: string) => setStatus(accountId, 'blocked'),
    unblock: (accountId: string) => setStatus(accountId, 'active'),
    async lapse(accountId: string, kind: Kind) {
      await sql`update identifiers set state = 'lapsed'
        where account_id = ${accountId}::uuid and type = ${kind} and state = 'verified'`.execute(
        db,
      );
    },
    /** As if strangers had guessed for weeks. */
    async wear() {
      await sql`update guess_budgets set window_failures = ${WORN}::int, window_started_at = ${clock.now()}
        where channel <> 'password'`.execute(db);
    },
    async vouch(accountId: string, kind: Kind, value: string) {
      await sql`delete from identifiers where account_id = ${accountId}::uuid and type = ${kind}`.execute(
        db,
      );
      await sql`insert into identifiers (account_id, type, value, state, sign_in_enabled, proven_by, verified_at, created_at)
        values (${accountId}::uuid, ${kind}, ${value}, 'verified', true, 'operator', ${clock.now()}, ${clock.now()})`.execute(
        db,
      );
    },
  };
}
