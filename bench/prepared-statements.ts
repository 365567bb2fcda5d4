/**
 * What preparing statements by name is worth: every hot statement as the service sends it, in four ways,
 * in turn within one run. `--help` tells how to run it.
 */
import { parseArgs } from 'node:util';
import { sql } from 'kysely';
import { ensureAuditPartitions } from '../src/audit/index.js';
import { systemClock } from '../src/core/clock.js';
import { type Db, openDatabase } from '../src/db/index.js';
import { loadRows } from '../test/plans/load-rows.js';
import { isBackground } from '../test/security/watched-database.js';
import { silentLog, type TestDatabase, testDatabase } from '../test/support/databases.js';
import { createMailbox } from '../test/support/mailbox.js';
import { PASSWORD, signUp, unique } from '../test/support/people.js';
import { onQuery } from '../test/support/sent-queries.js';
import { startTestApp, type TestApp } from '../test/support/test-app.js';
import { createTestClock } from '../test/support/test-clock.js';

const HELP = `Usage: TEST_DATABASE_URL=postgres://… npx tsx bench/prepared-statements.ts [--rows 100000] [--rounds 200]

Makes a database of its own, loads it, and walks people through the hot RPCs, one after the other: the
first with unnamed statements, the second with named ones, the third with named ones under a forced
custom plan, the fourth under a forced generic plan, and again. Prints what each statement's trip
takes (its 10th percentile, which other load disturbs least) and its ratio to the unnamed one.`;

const WAYS = ['unnamed', 'named', 'custom', 'generic'] as const;
type Way = (typeof WAYS)[number];

/** Milliseconds of each trip, by RPC and text, and by the way it was sent. */
type Timings = Map<string, Record<Way, number[]>>;

interface Measured {
  readonly timings: Timings;
  /** By text, of the named way: the share of executions by a generic plan. */
  readonly generic: ReadonlyMap<string, number>;
}

function optionsOf(way: Way): string {
  if (way === 'custom') return '-c plan_cache_mode=force_custom_plan';
  return way === 'generic' ? '-c plan_cache_mode=force_generic_plan' : '';
}

/** Times every statement, from its sending to its answer. */
function timeStatements(timings: Timings, going: { path: string; way: Way }): Disposable {
  return onQuery((query, answer, sentAtMs) => {
    const { path, way } = going;
    const text = hotText(query);
    if (path === '' || text === undefined || !(answer instanceof Promise)) return;
    const note = (): void => {
      const key = `${path}\0${text}`;
      const times = timings.get(key) ?? { unnamed: [], named: [], custom: [], generic: [] };
      timings.set(key, times);
      times[way].push(performance.now() - sentAtMs);
    };
    answer.then(note, () => undefined);
  });
}

/** What calls send: with values, and not of the workers beside them. */
function hotText(query: unknown): string | undefined {
  if (typeof query !== 'object' || query === null || !('text' in query) || !('values' in query)) {
    return undefined;
  }
  const { text } = query;
  if (typeof text !== 'string' || isBackground(text)) return undefined;
  return oneLine(text);
}

const oneLine = (text: string): string => text.replaceAll(/\s+/g, ' ').trim();

async function walk({ auth, mailbox, clock }: TestApp, at: (path: string) => void): Promise<void> {
  const phoneNumber = unique.phone();
  at('SignUp');
  const person = await signUp({ auth }, { phoneNumber });
  const access = { accessToken: person.accessToken };
  at('');
  await mailbox.waitFor(({ to }) => to === phoneNumber);
  at('Confirm');
  await auth.confirmPhoneNumber({ code: mailbox.codeFor(phoneNumber) }, access);
  at('SignIn');
  await auth.signIn({ identifier: phoneNumber, password: PASSWORD });
  at('');
  clock.advance({ seconds: 61 });
  at('Send');
  await auth.sendPhoneVerificationCode({ phoneNumber: unique.phone() }, access);
  at('Refresh');
  await auth.refreshSession({ refreshToken: person.refreshToken });
  at('GetAccount');
  await auth.getAccount({}, access);
  at('');
}

/** The quickest tenth's slowest: what a statement takes when nothing else wants the core. */
const undisturbed = (values: readonly number[]): number =>
  values.toSorted((a, b) => a - b)[Math.floor(values.length / 10)] ?? Number.NaN;

async function measure(rows: number, rounds: number): Promise<Measured> {
  await using database = await testDatabase({ profile: 'postgres' });
  await ensureAuditPartitions(database.db, systemClock, silentLog);
  await loadRows(database.db, rows);
  const [clock, mailbox] = [createTestClock(), createMailbox()];
  const open: AsyncDisposable[] = [];
  const apps = new Map<Way, TestApp>();
  try {
    let dataDir: string | undefined;
    for (const way of WAYS) {
      const pool = await poolFor(way, database);
      open.unshift(pool);
      const shared = dataDir === undefined ? {} : { dataDir };
      const app = await startTestApp({ database: pool, clock, mailbox, env: WIDE, ...shared });
      open.unshift(app);
      apps.set(way, app);
      dataDir ??= app.dataDir;
    }
    const timings = await inTurn(apps, rounds);
    const named = apps.get('named');
    return { timings, generic: named === undefined ? new Map() : await genericShares(named.db) };
  } finally {
    for (const opened of open) await opened[Symbol.asyncDispose]();
  }
}

/** What PostgreSQL has chosen by itself on one connection: how much of each statement's executions. */
async function genericShares(db: Db): Promise<ReadonlyMap<string, number>> {
  const { rows } = await sql<{ statement: string; share: number }>`
    select statement, generic_plans::float8 / nullif(generic_plans + custom_plans, 0) as share
    from pg_prepared_statements`.execute(db);
  return new Map(rows.map(({ statement, share }) => [oneLine(statement), share]));
}

async function inTurn(apps: ReadonlyMap<Way, TestApp>, rounds: number): Promise<Timings> {
  const timings: Timings = new Map();
  const going: { path: string; way: Way } = { path: '', way: 'unnamed' };
  using _timer = timeStatements(timings, going);
  // The first ones connect and prepare, and PostgreSQL tries five custom plans before a generic one.
  for (let round = -20; round < rounds; round += 1) {
    for (const [way, app] of apps) {
      going.way = way;
      await walk(app, (path) => {
        going.path = round < 0 ? '' : path;
      });
    }
  }
  return timings;
}

async function poolFor(way: Way, { url = '' }: TestDatabase): Promise<TestDatabase> {
  const own = new URL(url);
  if (optionsOf(way) !== '') own.searchParams.set('options', optionsOf(way));
  const limits = { maxConnections: 2, prepareStatements: way !== 'unnamed' };
  return { ...(await openDatabase({ url: own.href }, { log: silentLog, ...limits })), url };
}

/** Soft limits out of the way. */
const WIDE = Object.fromEntries(
  [
    'CALLS_PER_SOURCE',
    'SIGN_INS_PER_SOURCE',
    'SIGN_UPS_PER_SOURCE',
    'SIGN_UPS_IN_ALL',
    'SMS_PER_COUNTRY',
    'SMS_IN_ALL',
    'SENDS_PER_SOURCE',
  ].map((name) => [`LIMIT_${name}`, '1000000/1h']),
);

function print({ timings, generic }: Measured, rounds: number): void {
  const cells = ['RPC', 'statement', 'length', ...WAYS.map((way) => `${way} ms`)];
  process.stdout.write(`| ${[...cells, ...WAYS.slice(1), 'chosen generic'].join(' | ')} |\n`);
  process.stdout.write(`|${'---|'.repeat(cells.length + WAYS.length)}\n`);
  for (const [key, times] of timings) {
    const [path = '', text = ''] = key.split('\0');
    // Pollers, which fell into somebody's call.
    if (times.unnamed.length < rounds) continue;
    const typical = WAYS.map((way) => undisturbed(times[way]));
    const ratios = typical.slice(1).map((value) => (value / (typical[0] ?? 1)).toFixed(2));
    const figures = typical.map((value) => value.toFixed(2));
    const share = `${Math.round((generic.get(text) ?? 0) * 100)} %`;
    const begin = text.slice(0, 40).replaceAll('|', '/');
    process.stdout.write(
      `| ${[path, begin, text.length, ...figures, ...ratios, share].join(' | ')} |\n`,
    );
  }
}

const { values } = parseArgs({
  options: {
    rows: { type: 'string', default: '100000' },
    rounds: { type: 'string', default: '200' },
    help: { type: 'boolean', default: false },
  },
});
const [rows, rounds] = [Number(values.rows), Number(values.rounds)];
if (values.help) process.stdout.write(`${HELP}\n`);
else print(await measure(rows, rounds), rounds);
