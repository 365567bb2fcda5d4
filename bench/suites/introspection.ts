import { MAX_VERIFIED_TOKENS } from '../../src/sessions/index.js';
import type { Suite } from '../support/suite.js';
import { type Compared, type ComparedData, comparisonTable, runCompared } from './compared.js';
import { publicKey } from './public-key.js';

/** The tokens of so many people in turn. */
const compared = (people: number): Compared => ({
  name: 'introspection',
  concurrency: 32,
  people,
  warmUpSeconds: 5,
  floor: {
    name: 'introspection',
    env: async (subject) => ({ PUBLIC_JWK: JSON.stringify(await publicKey(subject)) }),
  },
  data: (seeded) => ({ accessTokens: seeded.map(({ accessToken }) => accessToken) }),
});

/** So many more than a process remembers that each has been forgotten when its turn comes again. */
const FORGOTTEN = MAX_VERIFIED_TOKENS + 1_000;
const REMEMBERED = 1_000;

/** The goal is judged by tokens that the process does not know. */
interface IntrospectionData extends ComparedData {
  readonly shownBefore: ComparedData;
}

export const introspection: Suite<IntrospectionData> = {
  name: 'introspection',
  title: 'Introspecting a token',
  byDefault: true,
  async run(options) {
    const { say } = options;
    say('every token for the first time');
    const { data } = await runCompared(compared(FORGOTTEN), options);
    say('tokens that were shown before');
    const shownBefore = await runCompared(compared(REMEMBERED), options);
    return { ...data, shownBefore: shownBefore.data };
  },
  section: (data) =>
    [
      'The floor verifies one Ed25519 signature per call with `node:crypto`, whatever it was shown before, and answers what',
      'the token says; it judges neither time nor name. A process of ours remembers up to',
      `${count(MAX_VERIFIED_TOKENS)} tokens that it has verified ([decision 0021](decisions/0021-verified-tokens-remembered.md)).`,
      '',
      '### Every token for the first time',
      '',
      'By this the goal is judged: it is the figure without that memory, one signature verified at every call on both sides.',
      `The tokens of ${count(FORGOTTEN)} people in turn, more than are remembered: each has been forgotten when its turn comes again.`,
      '',
      comparisonTable(data),
      '',
      '### A token that was shown before',
      '',
      `The tokens of ${count(REMEMBERED)} people in turn. **No signature is verified here**: all of them are remembered, and what is`,
      'judged at each call is age, issuer, audience, session, and whether the key is still in use. The ratio says what a caller',
      'gains who shows one token with every request of its life, and is not judged: the floor does more work here than we do.',
      '',
      comparisonTable(data.shownBefore),
    ].join('\n'),
};

function count(value: number): string {
  return value.toLocaleString('en');
}
