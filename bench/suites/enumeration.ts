import { setTimeout as delay } from 'node:timers/promises';
import {
  CompletePhoneSignInRequest,
  RequestPasswordResetRequest,
  RequestPasswordResetResponse,
  RequestPhoneSignInRequest,
  RequestPhoneSignInResponse,
  SignInRequest,
  VerifyPasswordResetCodeRequest,
} from '../../generated/countersign/v1/auth_service.js';
import { DEFAULT_LIMITS } from '../../src/delivery/limits.js';
import { callerMetadata, personAt } from '../scenarios/overload-target.js';
import { table } from '../support/markdown.js';
import {
  inRandomOrder,
  isSeen,
  type MeasuredDifference,
  pairedDifference,
} from '../support/paired.js';
import { proveNumbers, seedPeople } from '../support/people.js';
import { runStatements } from '../support/services.js';
import { median, round, seeded } from '../support/statistics.js';
import { type Subject, startSubject } from '../support/subject.js';
import type { Suite, SuiteOptions } from '../support/suite.js';
import { encoded, openWire, type Wire } from '../support/wire.js';

interface RpcFigures {
  readonly rpc: string;
  readonly rounds: number;
  /** A call for what nobody has. */
  readonly callMs: number;
  /** For what an account has − for what nobody has. */
  readonly known: MeasuredDifference;
  /** For what nobody has, twice: what the measurement itself makes up. */
  readonly control: MeasuredDifference;
  /** The same, one of the two held up by `delayMs`: a difference that must be found. */
  readonly mutant: MeasuredDifference;
  readonly delayMs: number;
}

interface EnumerationData {
  readonly secondsPerRpc: number;
  readonly rpcs: readonly RpcFigures[];
}

interface Typed {
  readonly username: string;
  readonly phone: string;
}

/** A call that is ready to be made, and answers when it has ended. */
type Ready = () => Promise<unknown>;

interface Probe {
  readonly rpc: string;
  readonly delayMs: number;
  /** What comes before the measured call, such as the flow whose code it guesses at. */
  prepare(call: Calls, typed: Typed): Promise<Ready>;
  /** After all of a round are prepared. */
  readonly settleMs: number;
}

/** Makes a call that must end with a status, and answers the message. */
type Calls = (rpc: string, request: Buffer, status: number) => Promise<Buffer>;

const OK = 0;
const INVALID_ARGUMENT = 3;
const UNAUTHENTICATED = 16;
/** What a request leaves to the workers is done by then: a code made and sent. */
const SETTLE_MS = DEFAULT_LIMITS.requestPauseMostMs + 50;
/** Between two calls, longer than the answer's own aftermath. */
const BETWEEN_MS = 10;
const WARM_UP_ROUNDS = 20;
const MIN_ROUNDS = 20;
/** Hashes take as long as anything else together, and vary by more than a short delay. */
const SHORT_DELAY_MS = 0.3;
const LONG_DELAY_MS = 1;
const ABSENT = { region: undefined, locale: undefined, challengeId: undefined };
const WRONG = '000000';

const askForSignIn = (call: Calls, { phone }: Typed) => {
  const fields = { phoneNumber: phone, ...ABSENT };
  return call('RequestPhoneSignIn', encoded(RequestPhoneSignInRequest, fields), OK);
};
const askForReset = (call: Calls, { phone }: Typed) => {
  const fields = { identifier: phone, ...ABSENT };
  return call('RequestPasswordReset', encoded(RequestPasswordResetRequest, fields), OK);
};

const probes: readonly Probe[] = [
  {
    rpc: 'SignIn, wrong password',
    delayMs: LONG_DELAY_MS,
    settleMs: 0,
    prepare: async (call, { username }) => {
      const fields = { identifier: username, password: 'not the password' };
      const request = encoded(SignInRequest, { ...fields, scope: undefined, region: undefined });
      return () => call('SignIn', request, UNAUTHENTICATED);
    },
  },
  {
    rpc: 'RequestPhoneSignIn',
    delayMs: SHORT_DELAY_MS,
    settleMs: 0,
    prepare: async (call, typed) => () => askForSignIn(call, typed),
  },
  {
    rpc: 'CompletePhoneSignIn, wrong code',
    delayMs: SHORT_DELAY_MS,
    settleMs: SETTLE_MS,
    prepare: async (call, typed) => {
      const { challenge } = RequestPhoneSignInResponse.decode(await askForSignIn(call, typed));
      const fields = { challengeId: challenge?.challengeId ?? '', code: WRONG, scope: undefined };
      const request = encoded(CompletePhoneSignInRequest, fields);
      return () => call('CompletePhoneSignIn', request, INVALID_ARGUMENT);
    },
  },
  {
    rpc: 'RequestPasswordReset',
    delayMs: SHORT_DELAY_MS,
    settleMs: 0,
    prepare: async (call, typed) => () => askForReset(call, typed),
  },
  {
    rpc: 'VerifyPasswordResetCode, wrong code',
    delayMs: SHORT_DELAY_MS,
    settleMs: SETTLE_MS,
    prepare: async (call, typed) => {
      const { challenge } = RequestPasswordResetResponse.decode(await askForReset(call, typed));
      const fields = { challengeId: challenge?.challengeId ?? '', code: WRONG };
      const request = encoded(VerifyPasswordResetCodeRequest, fields);
      return () => call('VerifyPasswordResetCode', request, INVALID_ARGUMENT);
    },
  },
];

/** Each person is asked for once. The shortest round is twice as long. */
const SHORTEST_ROUND_SECONDS = 0.02;

interface Someone {
  known(): Typed;
  unknown(): Typed;
}

async function seedSomeone(subject: Subject, seconds: number): Promise<Someone> {
  const count = Math.ceil((seconds * probes.length) / SHORTEST_ROUND_SECONDS);
  const people = await seedPeople(subject, count);
  await proveNumbers(subject.databaseUrl ?? '', people);
  const [waiting, batch] = [[...people], people[0]?.username.slice(1, 7)];
  let strangers = 0;
  return {
    known() {
      const person = waiting.pop();
      if (person === undefined) throw new Error('everybody has been asked for');
      return person;
    },
    // Of the same form and length, in ranges that nobody has.
    unknown() {
      strangers = (strangers + 1) % 9_000_000;
      const phone = `+8490${String(1_000_000 + strangers).padStart(7, '0')}`;
      return { username: `q${batch}${strangers}`, phone };
    },
  };
}

/** Calls of one connection, one at a time, each for another person behind the BFF. */
function callsOn(wire: Wire): Calls {
  let person = 0;
  return async (rpc, request, expected) => {
    person += 1;
    const path = `/countersign.v1.AuthService/${rpc}`;
    const { status, message } = await wire.call(path, request, personAt(person));
    if (status !== expected) throw new Error(`${rpc} ended with ${status}, not ${expected}`);
    return message;
  };
}

async function timed(ready: Ready, delayMs: number): Promise<number> {
  const begun = performance.now();
  // In the generator, as if the server had taken longer; a timer would be too coarse.
  while (performance.now() - begun < delayMs);
  await ready();
  const elapsed = performance.now() - begun;
  await delay(BETWEEN_MS);
  return elapsed;
}

async function measure(
  probe: Probe,
  call: Calls,
  someone: Someone,
  { seconds, seed }: { seconds: number; seed: number },
): Promise<RpcFigures> {
  const random = seeded(seed);
  const until = performance.now() + seconds * 1_000;
  const measured: Readonly<Record<'known' | 'unknown' | 'control' | 'mutant', number>>[] = [];
  for (let nth = 0; performance.now() < until; nth += 1) {
    const known = await probe.prepare(call, someone.known());
    const unknown = await probe.prepare(call, someone.unknown());
    const control = await probe.prepare(call, someone.unknown());
    const mutant = await probe.prepare(call, someone.unknown());
    await delay(probe.settleMs);
    const times = await inRandomOrder(
      {
        known: () => timed(known, 0),
        unknown: () => timed(unknown, 0),
        control: () => timed(control, 0),
        mutant: () => timed(mutant, probe.delayMs),
      },
      random,
    );
    if (nth >= WARM_UP_ROUNDS) measured.push(times);
  }
  if (measured.length < MIN_ROUNDS) throw new Error(`${probe.rpc}: ${measured.length} rounds`);
  const less = (arm: 'known' | 'control' | 'mutant') =>
    pairedDifference(
      measured.map((times) => times[arm] - times.unknown),
      seed,
    );
  return {
    rpc: probe.rpc,
    rounds: measured.length,
    callMs: round(median(measured.map(({ unknown }) => unknown)), 3),
    known: less('known'),
    control: less('control'),
    mutant: less('mutant'),
    delayMs: probe.delayMs,
  };
}

/** Whom the measurement takes for known must be: their flows got codes, and nobody's got none. */
function codesWereMade(databaseUrl: string): Promise<void> {
  return runStatements(
    databaseUrl,
    `do $$ begin
      if (select count(*) filter (where account_id is null) not between count(*) * 0.7 and count(*) * 0.8
        from challenges where purpose = 'reset')
      then raise exception 'not one in four flows was for somebody'; end if;
    end $$`,
  );
}

export const enumeration: Suite<EnumerationData> = {
  name: 'enumeration',
  title: 'Telling known from unknown by time',
  byDefault: true,
  async run({ seconds, rounds, seed, program, say }: SuiteOptions) {
    const secondsPerRpc = seconds * rounds;
    await using subject = await startSubject({ program });
    const someone = await seedSomeone(subject, secondsPerRpc);
    using wire = openWire(subject.address, 1, callerMetadata(subject));
    const rpcs: RpcFigures[] = [];
    for (const probe of probes) {
      const plan = { seconds: secondsPerRpc, seed };
      const figures = await measure(probe, callsOn(wire), someone, plan);
      say(`${probe.rpc}: ${range(figures.known)} ms, would see ${figures.known.smallest} ms`);
      if (!isSeen(figures.mutant)) {
        throw new Error(`${probe.rpc}: the delay was not found; this run would see nothing else`);
      }
      rpcs.push(figures);
    }
    await codesWereMade(subject.databaseUrl ?? '');
    return { secondsPerRpc, rpcs };
  },
  section: ({ secondsPerRpc, rpcs }) =>
    [
      `One connection, one call at a time, for ${secondsPerRpc} s each. A round has four calls, in an order drawn for it: for`,
      'something that an account has, twice for something that nobody has, and once more for that with a delay put in by the',
      'generator. Figures are medians of the differences within rounds, in ms, with 99 % intervals (bootstrap). *Alike*: the',
      'interval holds zero. Unknown − unknown is the control: what the measurement makes up. The delay is the other control: it',
      'has to be found. The last column is the true difference that would have been found in four runs of five.',
      '',
      table(
        [
          'RPC',
          'rounds',
          'a call takes',
          'known − unknown',
          '',
          'unknown − unknown',
          'delayed − unknown',
          'smallest that would be seen',
        ],
        rpcs.map(({ rpc, rounds, callMs, known, control, mutant, delayMs }) => [
          rpc,
          String(rounds),
          String(callMs),
          range(known),
          isSeen(known) ? '**seen**' : 'alike',
          range(control),
          `${range(mutant)}, of ${delayMs}: ${isSeen(mutant) ? 'found' : '**not found**'}`,
          String(known.smallest),
        ]),
      ),
    ].join('\n'),
};

const range = ({ median: middle, low, high }: MeasuredDifference): string =>
  `${middle} (${low} to ${high})`;
