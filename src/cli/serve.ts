import { once } from 'node:events';
import { type App, createApp } from '../app.js';
import { type Config, loadConfig, readEnv } from '../config/index.js';
import { createLogger } from '../logger.js';
import { type Command, refuseArguments } from './usage.js';

export const serveCommand: Command = {
  summary: 'run the service (the default)',
  help: [
    'Usage: countersign serve',
    '',
    'Runs until SIGTERM or SIGINT, then drains: health turns first, calls under way finish, queued',
    'messages and audit records are written, and the exit code is 0. A second signal ends it at once.',
    'Logs go to standard error, one JSON object a line; what people read goes to standard output.',
  ].join('\n'),
  async run(args) {
    refuseArguments(args);
    const config = loadConfig(readEnv());
    const log = createLogger(config.logLevel);
    const app = await createApp(config, log);
    const stop = new AbortController();
    // Heard before the banner says that it listens: whoever waits for that may stop it at once.
    const stopped = Promise.race(
      ['SIGTERM', 'SIGINT'].map((name) => once(process, name, { signal: stop.signal })),
    );
    process.stdout.write(banner(config, app));
    await stopped;
    stop.abort();
    process.once('SIGTERM', () => process.exit(1)).once('SIGINT', () => process.exit(1));
    process.stdout.write('draining\n');
    await app[Symbol.asyncDispose]();
    process.stdout.write('stopped\n');
    // What a library may have left open must not keep a drained process alive.
    process.exit(0);
  },
};

const LIMITS: Readonly<Record<App['limits'], string>> = {
  memory: 'in memory, for one process',
  redis: 'Redis',
  'redis away': 'Redis, which does not answer: stricter ones in memory until it does',
};

function banner(config: Config, app: App): string {
  const grpc = app.grpcAddress;
  const rows: readonly [string, string][] = [
    ['database', app.database],
    ['limits', LIMITS[app.limits]],
    ['mail', config.mail],
    ['sms', config.sms],
    ['keys', app.keysMadeIn === undefined ? 'from the environment' : `made in ${app.keysMadeIn}`],
    ['callers', config.anonymousCallers ? 'anonymous ones too' : 'with a key'],
    ['transport', config.tls === undefined ? 'plaintext' : 'TLS'],
    ['http', `http://${app.httpAddress}/.well-known/jwks.json  /healthz  /readyz`],
  ];
  const flags = config.tls === undefined ? ' --http2-prior-knowledge' : '';
  const scheme = config.tls === undefined ? 'http' : 'https';
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
