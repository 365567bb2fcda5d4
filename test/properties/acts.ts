import type { AuthClient } from '../../src/client/index.js';
import { wrongCode } from '../support/people.js';
import type { createComparisonLedger } from './budgets.js';
import type { Expected } from './expected.js';
import type { Guessed } from './guessing.js';
import {
  type Account,
  accountOf,
  type Challenge,
  isExpired,
  type Kind,
  type Model,
  mayAct,
  type Purpose,
  type Session,
} from './model.js';
import type { Step } from './steps.js';
import type { Cast, World } from './world.js';

/** A step that found its objects: a call, and what the model expects of it. */
export interface Act {
  /** For the reader of a failure. */
  readonly what: string;
  /** Changes the model, and so comes before the call. */
  expect(): Expected | Guessed;
  call(): Promise<unknown>;
}

export interface Stage {
  readonly world: World;
  readonly model: Model;
  readonly cast: Cast;
  readonly ledger: ReturnType<typeof createComparisonLedger>;
  /** Sets the usernames of one run apart from those of the others. */
  readonly suffix: string;
  /** Numbers the usernames and passwords that are made up. */
  next(): number;
}

/** What a step may reach for, on a stage. */
export class Props {
  readonly auth: AuthClient;
  readonly model: Model;
  readonly who: number;

  constructor(
    readonly stage: Stage,
    readonly step: Step,
  ) {
    this.auth = stage.world.app.auth;
    this.model = stage.model;
    this.who = step.who;
  }

  /** One of the last few: the lower the number, the later. */
  recent<T>(all: readonly T[], pick = this.step.pick, among = 3): T | undefined {
    return all.at(-1 - (pick % Math.min(among, Math.max(1, all.length))));
  }

  accounts(): readonly Account[] {
    return [...this.model.accounts.values()].filter(({ owner }) => owner === this.who);
  }

  account(): Account | undefined {
    return this.recent(this.accounts());
  }

  /** Of the person's accounts; most of the time one that they may act in. */
  session(fits = (session: Session) => mayAct(this.model, session)): Session | undefined {
    const own = this.model.sessions.filter(
      (session) => !session.probe && accountOf(this.model, session).owner === this.who,
    );
    const fitting = own.filter(fits);
    return this.recent(this.step.how < 9 && fitting.length > 0 ? fitting : own);
  }

  anySession(pick: number): Session | undefined {
    return this.recent(this.model.sessions, pick, 6);
  }

  address(kind: Kind): string {
    const own =
      (kind === 'email' ? this.stage.cast.emails : this.stage.cast.phones)[this.who] ?? [];
    return own[this.step.on % own.length] ?? '';
  }

  /** Of the person's own; sometimes anybody's. */
  challenge(
    purpose: Purpose,
    channel?: Challenge['channel'],
    pick?: number,
  ): Challenge | undefined {
    const all = [...this.model.challenges.values()].filter(
      (each) => each.purpose === purpose && (channel === undefined || each.channel === channel),
    );
    const own = all.filter(({ owner }) => owner === this.who);
    const theirs = this.step.how === 8 || own.length === 0 ? all : own;
    const live = theirs.filter(
      (each) => each.code !== undefined && !each.used && !isExpired(this.model, each),
    );
    const pool = this.step.pick < 9 && live.length > 0 ? live : theirs;
    // In the order in which their codes were issued, and not in which they began.
    return this.recent(
      [...pool].sort((a, b) => a.issuedAt - b.issuedAt),
      pick,
    );
  }

  /** Mostly the right one, and where there is none, the one that was right before. */
  codeOf(challenge: Challenge | undefined): string {
    const { how } = this.step;
    const [old] = challenge?.oldCodes ?? [];
    const right = challenge?.code ?? (how < 4 ? old : undefined);
    if (how === 7) return old ?? '000000';
    if (how === 6) return '00000000000000000000';
    if (right === undefined || how === 5) return right === '000000' ? '000001' : '000000';
    return how === 4 ? wrongCode(right) : right;
  }

  /** What one of the person's accounts holds, or whatever else they call their own. */
  held(kind: Kind): string {
    const value = this.account()?.held.get(kind)?.value;
    return value !== undefined && this.step.pick < 8 ? value : this.address(kind);
  }

  password(): string {
    return `a password, number ${this.stage.next()}`;
  }
}
