import type { AuthServiceService } from '../../generated/countersign/v1/auth_service.js';
import { CountersignError } from '../../src/client/index.js';
import { type Act, Props, type Stage } from './acts.js';
import { actsOnAccounts, updateSettings } from './acts-account.js';
import { actsOfProving } from './acts-proving.js';
import { actsOfSigningIn, refreshWith, signInWith } from './acts-signing-in.js';
import { comparisons } from './comparisons.js';
import type { Guessed } from './guessing.js';
import { checkEntitled, checkRows, codeIn, kindOf } from './invariants.js';
import { type Challenge, handleOf, isAlive, type Model } from './model.js';
import type { Step, StepName } from './steps.js';
import type { IdentifierRow } from './world.js';

const acts: Readonly<Record<StepName, (props: Props) => Act | undefined>> &
  Readonly<Record<keyof typeof AuthServiceService, unknown>> = {
  ...actsOfSigningIn,
  ...actsOnAccounts,
  ...actsOfProving,
};

const OPERATORS: ReadonlySet<StepName> = new Set(['block', 'lapse', 'vouch']);

/** With which `how` a step guesses (`codeOf`, and the wrong password). */
const GUESSES: Partial<Record<StepName, readonly number[]>> = {
  completePhoneSignIn: [4, 5],
  confirmEmail: [4, 5],
  confirmPhoneNumber: [4, 5],
  verifyPasswordResetCode: [4, 5],
  signIn: [8, 9],
};

export interface Play extends Stage {
  /** What has happened, for the reader of a failure. */
  readonly script: string[];
  /** Answers by step, to see what was reached. */
  readonly tally: Map<string, number>;
  rows: readonly IdentifierRow[];
}

/** No two steps are at the same moment: a code that is sent after a lock is younger than it. */
const A_MOMENT = 0.001;

/** Does a step, and then looks at whether what it changed can be seen at the door. */
export async function play(stage: Play, step: Step): Promise<void> {
  const props = new Props(stage, step);
  for (let times = timesOf(step); times > 0; times -= 1) {
    const act = acts[step.name](props);
    if (act === undefined) return;
    const before = powers(stage.model);
    await perform(stage, act, step.name);
    for (const probe of probes(props, before, powers(stage.model)))
      await perform(stage, probe, 'probe');
  }
}

/** Who guesses does not guess once. */
function timesOf({ name, how, pick }: Step): number {
  const guesses = GUESSES[name]?.includes(how) ?? false;
  return guesses ? 1 + (pick % 7) : 1;
}

async function perform(stage: Play, act: Act, name: StepName | 'probe'): Promise<void> {
  const { model, script } = stage;
  script.push(act.what);
  model.now += A_MOMENT;
  const expected = act.expect();
  const made = comparisons.made;
  const answer = await answerOf(act.call());
  const count = `${name} ${answer.reason}`;
  stage.tally.set(count, (stage.tally.get(count) ?? 0) + 1);
  script.push(`  ${answer.reason}`);
  if (answer.reason !== expected.answer)
    throw new Error(`answered ${answer.reason}, and not ${expected.answer}`);
  const codes = answer.reason === 'OK' ? (expected.learn?.(answer.response) ?? []) : [];
  checkComparison(stage, 'compared' in expected ? expected.compared : undefined, made);
  stage.ledger.right(expected.lifted ?? []);
  const before = stage.rows;
  const messages = await stage.world.arrivals();
  stage.rows = await stage.world.rows([...model.accounts.keys()], stage.cast.all);
  adoptUsernames(model, stage.rows);
  checkRows(before, stage.rows, { byOperator: name !== 'probe' && OPERATORS.has(name) });
  checkAgainstModel(model, stage.rows);
  for (const message of messages) {
    script.push(`  → ${message.to}: ${message.subject ?? message.text}`);
    checkEntitled(message, before, stage.rows);
  }
  deal(messages, codes, expected.told ?? []);
}

async function answerOf(call: Promise<unknown>) {
  try {
    return { reason: 'OK', response: await call };
  } catch (error) {
    if (error instanceof CountersignError) {
      const internal = error.reason === 'UNKNOWN' || error.codeName === 'INTERNAL';
      return { reason: internal ? error.message : error.reason, response: undefined };
    }
    throw error;
  }
}

/** Counts what was really compared, whatever the service and the model believe of their budgets. */
function checkComparison(stage: Play, compared: Guessed['compared'], made: number): void {
  const seen = comparisons.made - made;
  const wanted = compared === undefined ? 0 : 1;
  if (seen !== wanted) throw new Error(`${seen} codes were compared, and not ${wanted}`);
  if (compared === undefined) return;
  if (compared.right) stage.ledger.right(compared.rows);
  else if (compared.ordinary) stage.ledger.wrong(stage.model.now, compared.rows);
}

/** Codes go where the model says, and what was not expected has its reader among `told`. */
function deal(
  messages: Awaited<ReturnType<Stage['world']['arrivals']>>,
  codes: readonly Challenge[],
  told: readonly string[],
): void {
  const missing = [...codes];
  for (const message of messages) {
    const kind = kindOf(message);
    if (kind === 'other') {
      if (!told.includes(message.to)) throw new Error(`nobody had to tell ${message.to} anything`);
      continue;
    }
    const code = codeIn(message.text);
    const index = missing.findIndex(
      ({ purpose, destination, long }) =>
        purpose === kind && destination?.value === message.to && (code?.length === 20) === long,
    );
    const [challenge] = index < 0 ? [] : missing.splice(index, 1);
    if (challenge === undefined) throw new Error(`no ${kind} code was due to ${message.to}`);
    challenge.code = code;
  }
  if (missing.length > 0) {
    const due = missing.map(({ purpose, destination, long }) =>
      [long ? 'long' : 'short', purpose, destination?.value].join(' '),
    );
    throw new Error(`codes were due that did not come: ${due.join(', ')}`);
  }
}

/** Of an account that was born by phone, only its rows tell the username. */
function adoptUsernames(model: Model, rows: readonly IdentifierRow[]): void {
  for (const account of model.accounts.values()) {
    if (account.username !== undefined || account.status === 'closed') continue;
    const row = rows.find(({ accountId, type }) => accountId === account.id && type === 'username');
    if (row?.provenBy !== 'generated') throw new Error('no username was generated');
    account.username = { value: row.value, enabled: true, generated: true };
  }
}

function checkAgainstModel(model: Model, rows: readonly IdentifierRow[]): void {
  const found = rows.map(({ accountId, status, hasPassword, type, value, state, enabled }) =>
    [accountId, status, hasPassword, type, value, state, enabled].join(' '),
  );
  const wanted = [...model.accounts.values()].flatMap((account) => {
    const own = `${account.id} ${account.status} ${account.password !== undefined}`;
    const { username, held, claims } = account;
    return [
      ...(username ? [`${own} username ${username.value} verified ${username.enabled}`] : []),
      ...[...held].map(([kind, it]) => `${own} ${kind} ${it.value} ${it.state} ${it.enabled}`),
      ...[...claims].map(([kind, { value }]) => `${own} ${kind} ${value} claimed false`),
    ];
  });
  const surplus = found.filter((row) => !wanted.includes(row));
  const missing = wanted.filter((row) => !found.includes(row));
  if (surplus.length + missing.length > 0)
    throw new Error(
      `the rows are\n  ${surplus.join('\n  ')}\nand the model says\n  ${missing.join('\n  ')}`,
    );
}

interface Powers {
  /** Who signs in with a password, by what. */
  readonly handles: ReadonlyMap<string, string>;
  readonly alive: ReadonlySet<string>;
}

function powers(model: Model): Powers {
  const handles = new Map<string, string>();
  for (const account of model.accounts.values()) {
    const values = [account.username, ...account.held.values()].map((each) => each?.value);
    for (const value of values) {
      const whose = value === undefined ? undefined : handleOf(model, value);
      if (value !== undefined && whose?.password !== undefined) handles.set(value, whose.id);
    }
  }
  const alive = model.sessions.filter((session) => isAlive(model, session)).map(({ id }) => id);
  return { handles, alive: new Set(alive) };
}

/** What opened and what closed is tried: a handle by its present and its former account's password, a session by use. */
function probes(props: Props, before: Powers, after: Powers): readonly Act[] {
  const { model } = props;
  const found: Act[] = [];
  for (const value of new Set([...before.handles.keys(), ...after.handles.keys()])) {
    const [former, present] = [before.handles.get(value), after.handles.get(value)];
    if (former === present) continue;
    for (const id of [former, present]) {
      const password = id === undefined ? undefined : model.accounts.get(id)?.password;
      if (password !== undefined) found.push(signInWith(props, value, password, true));
    }
  }
  const ended = model.sessions.filter(({ id }) => before.alive.has(id) && !after.alive.has(id));
  for (const session of ended.slice(-2)) {
    found.push(updateSettings(props, session));
    found.push(refreshWith(props, session, session.refreshTokens.at(-1) ?? ''));
  }
  return found;
}
