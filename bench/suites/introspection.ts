import type { Suite } from '../support/suite.js';
import { type Compared, type ComparedData, comparisonTable, runCompared } from './compared.js';
import { publicKey } from './public-key.js';

const compared: Compared = {
  name: 'introspection',
  concurrency: 32,
  people: 1_000,
  warmUpSeconds: 5,
  floorEnv: async (subject) => ({ PUBLIC_JWK: JSON.stringify(await publicKey(subject)) }),
  data: (people) => ({ accessTokens: people.map(({ accessToken }) => accessToken) }),
};

export const introspection: Suite<ComparedData> = {
  name: 'introspection',
  title: 'Introspecting a token',
  byDefault: true,
  run: async (options) => (await runCompared(compared, options)).data,
  section: (data) =>
    [
      'The tokens of 1,000 people in turn. The floor verifies one Ed25519 signature with `node:crypto` and answers',
      'what the token says; it judges neither time nor name.',
      '',
      comparisonTable(data),
    ].join('\n'),
};
