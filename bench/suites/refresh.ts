import { sha256 } from '../floors/floor.js';
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

const SESSIONS = 2_000;

/** What a floor's token looks like: its session, and as many characters as ours in all. */
const floorToken = (accountId: string): string => `${accountId}.${'s'.repeat(87)}`;

const compared: Compared = {
  name: 'refresh',
  asSent: 'refresh-as-sent',
  concurrency: 32,
  people: SESSIONS,
  warmUpSeconds: 5,
  floor: {
    name: 'refresh',
    fill: (floor, people) =>
      runStatements(
        floor.databaseUrl,
        `insert into sessions (session_id, account_id, token_hash, expires_at)
          select p.id::uuid, p.id::uuid, decode(p.hash, 'hex'), now() + interval '30 days' from (values ${people
            .map(
              ({ accountId }) =>
                `('${accountId}', '${sha256(floorToken(accountId)).toString('hex')}')`,
            )
            .join(', ')}) p (id, hash)`,
        'vacuum analyze',
      ),
  },
  data: (people, _server, isFloor) => ({
    refreshTokens: people.map(({ accountId, refreshToken }) =>
      isFloor ? floorToken(accountId) : refreshToken,
    ),
  }),
};

export const refresh: Suite<ComparedData> = {
  name: 'refresh',
  title: 'Refreshing a session',
  byDefault: true,
  run: async (options) => (await runCompared(compared, options)).data,
  section: (data) =>
    [
      `${SESSIONS} sessions in turn, each with its last refresh token: one statement and one Ed25519 signature.`,
      '',
      AS_SENT,
      SMALLEST,
      'Here that is one `update … returning` by the primary key. No refresh token of either floor has a MAC.',
      '',
      comparisonTable(data),
    ].join('\n'),
};
