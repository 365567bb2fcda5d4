import type { App } from '../app.js';
import type { Config } from '../config/index.js';

/** What is known only to a process that serves. */
export type ServedFacts = Pick<
  App,
  'grpcAddress' | 'httpAddress' | 'database' | 'limits' | 'keysMadeIn' | 'missingIndexes'
>;

const LIMITS: Readonly<Record<App['limits'], string>> = {
  memory: 'in memory, for one process',
  redis: 'Redis',
  'redis away': 'Redis, which does not answer: stricter ones in memory until it does',
};

export function banner(config: Config, facts: ServedFacts): string {
  const grpc = facts.grpcAddress;
  const { workers, database, tls } = config;
  const missing = facts.missingIndexes.join(' and ');
  const rows: readonly (readonly [string, string])[] = [
    ...(workers === 1 ? [] : [['workers', workersRow(workers, database.poolSize)] as const]),
    ['database', facts.database],
    ...(missing === ''
      ? []
      : [['sign-in', `by username alone: ${missing} missing or not valid`] as const]),
    ['limits', LIMITS[facts.limits]],
    ['mail', config.mail],
    ['sms', config.sms],
    [
      'keys',
      facts.keysMadeIn === undefined ? 'from the environment' : `made in ${facts.keysMadeIn}`,
    ],
    ['callers', callersRow(config)],
    ['transport', transportRow(config)],
    ['http', `http://${facts.httpAddress}/.well-known/jwks.json  /healthz  /readyz`],
  ];
  const flags = tls === undefined ? ' --http2-prior-knowledge' : '';
  const scheme = tls === undefined ? 'http' : 'https';
  return [
    'Countersign',
    ...rows.map(([name, value]) => `  ${name.padEnd(10)} ${value}`),
    `listening on ${grpc}`,
    '',
    'Try next:',
    `  npx buf curl --protocol grpc${flags} --list-methods ${scheme}://${grpc}`,
    `  npx buf curl --protocol grpc${flags} -d '{"username":"ada","password":"correct horse battery"}' \\`,
    `    ${scheme}://${grpc}/countersign.v1.AuthService/SignUp`,
    '  npm run tour',
    '',
    '',
  ].join('\n');
}

function callersRow({ anonymousCallers, tls }: Config): string {
  if (anonymousCallers) return 'anonymous ones too';
  return tls?.clientCaFile === undefined ? 'with a key' : 'with a certificate or a key';
}

function transportRow({ tls }: Config): string {
  if (tls === undefined) return 'plaintext';
  return tls.clientCaFile === undefined ? 'TLS' : 'TLS, with client certificates';
}

function workersRow(workers: number, poolSize: number): string {
  return `${workers} processes, with up to ${workers * poolSize} connections to the database`;
}
