import { PAST_ROWS } from '../support/people.js';
import { runStatements } from '../support/services.js';
import type { Suite } from '../support/suite.js';
import {
  AS_SENT,
  type Compared,
  type ComparedData,
  comparisonTable,
  runCompared,
  SMALLEST,
} from './compared.js';

/** A floor may be done with a person every 0.5 ms. */
const PEOPLE_PER_SECOND = 1_500;

/** So long until the code of both is compiled as it stays. */
const WARM_UP_SECONDS = 20;

const compared = (seconds: number): Compared => ({
  name: 'phone-code',
  asSent: 'phone-code-as-sent',
  concurrency: 32,
  warmUpSeconds: WARM_UP_SECONDS,
  people: Math.ceil(seconds * PEOPLE_PER_SECOND),
  floor: {
    name: 'phone-code',
    fill: (floor) =>
      runStatements(
        floor.databaseUrl,
        `insert into challenges (challenge_id, account_id, phone, code_hash, expires_at, used_at)
          select gen_random_uuid(), gen_random_uuid(), 'p' || i, sha256(i::text::bytea), now(), now()
          from generate_series(1, ${PAST_ROWS}) i`,
        `insert into phones (account_id, phone, verified_at)
          select gen_random_uuid(), 'p' || i, now() from generate_series(1, ${PAST_ROWS}) i`,
        'vacuum analyze',
      ),
  },
  data: (people, { messageFile }) => ({
    messageFile,
    people: people.map(({ phone, accessToken }) => ({ phone, accessToken })),
  }),
});

export const phoneCode: Suite<ComparedData> = {
  name: 'phone-code',
  title: 'Sending and confirming a phone code',
  byDefault: true,
  run: async (options) => {
    const seconds = options.seconds * options.rounds + WARM_UP_SECONDS + 1;
    return (await runCompared(compared(seconds), options)).data;
  },
  section: (data) =>
    [
      'A signed-in person adds a number: the code is asked for, waited for (in the file that messages are written',
      'to), and confirmed; one "call" is all of it, and each is made by another person. Both calls show an access',
      'token. Three statements, each a commit, and one Redis command.',
      '',
      AS_SENT,
      SMALLEST,
      'Here that is an insert, a counted guess, and a redemption that inserts the number; it looks at no access token.',
      '',
      comparisonTable(data),
    ].join('\n'),
};
