/** Suites of a code that somebody who is known asks for without a session. */
import { proveNumbers } from '../support/people.js';
import type { Suite } from '../support/suite.js';
import {
  AS_SENT,
  type Compared,
  type ComparedData,
  comparisonTable,
  runCompared,
} from './compared.js';

/** A floor may be done with a person every millisecond. */
const PEOPLE_PER_SECOND = 1_000;

/** So long until the code of both is compiled as it stays. */
const WARM_UP_SECONDS = 20;

const compared = (name: string, seconds: number): Compared => ({
  name,
  asSent: `${name}-as-sent`,
  // Each waits for its code a tenth of a second: so many keep the machine busy.
  concurrency: 96,
  warmUpSeconds: WARM_UP_SECONDS,
  people: Math.ceil(seconds * PEOPLE_PER_SECOND),
  prepare: proveNumbers,
  data: (people, { messageFile }) => ({ messageFile, phones: people.map(({ phone }) => phone) }),
});

/** `name` is that of the suite, of its scenario and, with `-as-sent` behind it, of its floor. */
export function flowSuite(
  { name, title }: Pick<Suite, 'name' | 'title'>,
  about: readonly string[],
): Suite<ComparedData> {
  return {
    name,
    title,
    byDefault: true,
    run: async (options) => {
      const seconds = options.seconds * options.rounds + WARM_UP_SECONDS + 1;
      return (await runCompared(compared(name, seconds), options)).data;
    },
    section: (data) =>
      [
        ...about,
        'Three statements and one trip to Redis for the two calls; between them, when the request is answered, two statements',
        'of the sender, which reads what is due and issues the code, and a share of a third, which marks all messages of a',
        'twentieth of a second as sent.',
        '',
        AS_SENT,
        'What the request is charged to in Redis is recorded and sent too: the same scripts, on keys like the product’s, in one',
        'write, since the goal asks for the same input and output on both sides.',
        "The sender's statements are among those that the floor sends, when they are due and in batches as ours; it pauses",
        'before them as the sender does (25 to 125 ms, [decision 0026](decisions/0026-a-pause-before-resolving.md)), and has',
        'no lanes, leases or retries.',
        '',
        comparisonTable(data),
      ].join('\n'),
  };
}
