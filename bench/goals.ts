/** What the issues ask of the figures. A goal without a figure is not met. */
export interface Goal {
  readonly suite: string;
  readonly text: string;
  /** Where in the suite's data the judged figure stands. */
  readonly figure: string;
  readonly atLeast?: number;
  readonly atMost?: number;
}

export const goals: readonly Goal[] = [
  {
    suite: 'sign-in',
    text: "sign-in: Argon2's CPU ÷ the server process's CPU",
    figure: 'argon2Share.median',
    atLeast: 0.85,
  },
  {
    suite: 'sign-in',
    text: 'sign-in: throughput ÷ floor',
    figure: 'throughputRatio.median',
    atLeast: 0.95,
  },
  {
    suite: 'phone-code',
    text: 'send + confirm a phone code: throughput ÷ floor (the same statements)',
    figure: 'throughputRatio.median',
    atLeast: 0.7,
  },
  {
    suite: 'phone-sign-in',
    text: 'sign in by phone, request + complete: throughput ÷ floor (the same statements)',
    figure: 'throughputRatio.median',
    atLeast: 0.7,
  },
  {
    suite: 'recovery',
    text: 'the code steps of a recovery: throughput ÷ floor (the same statements)',
    figure: 'throughputRatio.median',
    atLeast: 0.7,
  },
  {
    suite: 'refresh',
    text: 'refresh: throughput ÷ floor (the same statements)',
    figure: 'throughputRatio.median',
    atLeast: 0.7,
  },
  {
    suite: 'introspection',
    text: 'introspection: throughput ÷ floor',
    figure: 'throughputRatio.median',
    atLeast: 0.8,
  },
  {
    suite: 'overload',
    text: 'overload at 1, 2, 4, 10 × capacity, the worst: goodput of sign-in ÷ its peak',
    figure: 'worst.goodputOfPeak',
    atLeast: 0.8,
  },
  {
    suite: 'overload',
    text: 'overload, the worst: p99 of ConfirmPhoneNumber ÷ its calm p99',
    figure: 'worst.ConfirmPhoneNumber',
    atMost: 5,
  },
  {
    suite: 'overload',
    text: 'overload, the worst: p99 of RefreshSession ÷ its calm p99',
    figure: 'worst.RefreshSession',
    atMost: 3,
  },
  {
    suite: 'overload',
    text: 'overload, the worst: p99 of IntrospectToken ÷ its calm p99',
    figure: 'worst.IntrospectToken',
    atMost: 3,
  },
  {
    suite: 'growth',
    text: 'growth to 10 million accounts, the worst RPC: database time ÷ that with 10 thousand',
    figure: 'worst',
    atMost: 1.2,
  },
];

/** The figure that a goal is judged by; undefined where it was not measured. */
export function figureOf(goal: Goal, data: unknown): number | undefined {
  let at: unknown = data;
  for (const name of goal.figure.split('.')) {
    at =
      typeof at === 'object' && at !== null
        ? Object.getOwnPropertyDescriptor(at, name)?.value
        : undefined;
  }
  return typeof at === 'number' && Number.isFinite(at) ? at : undefined;
}

export function isMet({ atLeast = -Infinity, atMost = Infinity }: Goal, figure: number): boolean {
  return figure >= atLeast && figure <= atMost;
}
