import { once } from 'node:events';
import { createApp } from '../app.js';
import { linkToPrimary, type PrimaryLink, runPrimary } from '../cluster/index.js';
import { type Config, loadConfig, readEnv } from '../config/index.js';
import type { Logger } from '../core/logger.js';
import { createLogger } from '../logger.js';
import { type MetricObject, pageOfWorkers } from '../metrics/index.js';
import { banner, type ServedFacts } from './banner.js';
import { type Command, refuseArguments } from './usage.js';

export const serveCommand: Command = {
  summary: 'run the service (the default)',
  help: [
    'Usage: countersign serve',
    '',
    'Runs until SIGTERM or SIGINT, then drains: health turns first, calls under way finish, queued',
    'messages and audit records are written, and the exit code is 0. A second signal ends it at once.',
    'With WORKERS=n it starts n processes that serve, replaces one that dies, and stops them all.',
    'Logs go to standard error, one JSON object a line; what people read goes to standard output.',
  ].join('\n'),
  async run(args) {
    refuseArguments(args);
    const primary = linkToPrimary();
    try {
      await serve(primary);
    } catch (error) {
      primary?.failed();
      throw error;
    }
  },
};

async function serve(primary: PrimaryLink | undefined): Promise<void> {
  const config = loadConfig(readEnv());
  const log = createLogger(config.logLevel);
  if (primary !== undefined) await serveAsWorker(config, log, primary);
  else if (config.workers > 1) await serveWithWorkers(config, log);
  else await serveAlone(config, log);
}

async function serveAlone(config: Config, log: Logger): Promise<void> {
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
}

async function serveAsWorker(config: Config, log: Logger, primary: PrimaryLink): Promise<void> {
  const scrape = () => ofAllWorkers(primary);
  const app = await createApp(config, log, { scrape });
  primary.answerWith(() => app.metrics.json());
  const { grpcAddress, httpAddress, database, limits, keysMadeIn, missingIndexes } = app;
  const facts = { grpcAddress, httpAddress, database, limits, keysMadeIn, missingIndexes };
  primary.listening(facts satisfies ServedFacts);
  await primary.stopped;
  await app[Symbol.asyncDispose]();
  process.exit(0);
}

/** Whichever worker is asked tells of all, and of how many it could not. */
async function ofAllWorkers(primary: PrimaryLink): Promise<string> {
  const { answers, missing } = await primary.gather();
  const page = await pageOfWorkers(
    answers.map(({ place, answer }) => ({ place, metrics: answer as readonly MetricObject[] })),
  );
  return [
    page.trimEnd(),
    '# HELP countersign_workers_missing Workers that did not answer this scrape in time, or do not serve.',
    '# TYPE countersign_workers_missing gauge',
    `countersign_workers_missing ${missing}`,
    '',
  ].join('\n');
}

/** What follows the calls when a process stops takes 20 s at most; the rest is for a slow machine. */
const AFTER_CALLS_MS = 25_000;

/** A start takes a second or two, and waits for PostgreSQL and Redis no longer than their time limits. */
const START_MS = 60_000;

async function serveWithWorkers(config: Config, log: Logger): Promise<void> {
  const code = await runPrimary<ServedFacts>({
    size: config.workers,
    startMs: START_MS,
    drainMs: config.drainNoticeMs + config.drainTimeoutMs + AFTER_CALLS_MS,
    log,
    onServing: (facts) => process.stdout.write(banner(config, facts)),
    onDraining: () => process.stdout.write('draining\n'),
  });
  if (code === 0) process.stdout.write('stopped\n');
  process.exit(code);
}
