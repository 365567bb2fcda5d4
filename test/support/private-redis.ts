import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { connect, createServer } from 'node:net';
import { createInterface } from 'node:readline';

/** A redis-server of the test's own, on a free port of loopback, that keeps nothing on disk. */
export interface PrivateRedis {
  readonly url: string;
  readonly port: number;
  /** Kills it, as a crash would. */
  stop(): Promise<void>;
  /** Starts it again on the same port, empty. */
  restart(): Promise<void>;
  flush(): Promise<void>;
  /** Keeps its connections open and answers nothing, as a hung host would. */
  freeze(): void;
  thaw(): void;
  [Symbol.asyncDispose](): Promise<void>;
}

/** False where no redis-server is installed; tests then skip, or fail under REQUIRE_SERVICES=1. */
export async function hasRedisServer(): Promise<boolean> {
  const child = spawn('redis-server', ['--version'], { stdio: 'ignore' });
  return new Promise((resolve) => {
    child.once('error', () => resolve(false));
    child.once('exit', (code) => resolve(code === 0));
  });
}

export async function startPrivateRedis(): Promise<PrivateRedis> {
  const port = await freePort();
  let server: ChildProcess | undefined = await launchRedis(port);
  const stop = async (): Promise<void> => {
    const running = server;
    server = undefined;
    await killed(running);
  };
  return {
    url: `redis://127.0.0.1:${port}`,
    port,
    stop,
    restart: async () => {
      await stop();
      server = await launchRedis(port);
    },
    flush: async () => void (await tellRedis(port, 'FLUSHALL')),
    freeze: () => void server?.kill('SIGSTOP'),
    thaw: () => void server?.kill('SIGCONT'),
    [Symbol.asyncDispose]: stop,
  };
}

/** A redis-server with these settings too; resolves when it takes connections. */
export async function launchRedis(
  port: number,
  settings: readonly string[] = [],
): Promise<ChildProcess> {
  return launched([
    ...`--port ${port} --bind 127.0.0.1 --appendonly no --save`.split(' '),
    '',
    ...settings,
  ]);
}

/** One with arguments of its own altogether, such as a sentinel. */
export async function launched(
  args: readonly string[],
  ready = 'Ready to accept connections',
): Promise<ChildProcess> {
  const server = spawn('redis-server', args, { stdio: ['ignore', 'pipe', 'inherit'] });
  // A test run that ends early takes its servers along.
  const kill = () => void server.kill('SIGKILL');
  process.once('exit', kill);
  server.once('exit', () => process.removeListener('exit', kill));
  const lines: string[] = [];
  for await (const line of createInterface({ input: server.stdout })) {
    lines.push(line);
    if (!line.includes(ready)) continue;
    server.stdout.resume();
    return server;
  }
  throw new Error(`redis-server did not start:\n${lines.join('\n')}`);
}

export async function killed(server: ChildProcess | undefined): Promise<void> {
  if (server === undefined || server.exitCode !== null || server.signalCode !== null) return;
  const exited = once(server, 'exit');
  server.kill('SIGKILL');
  await exited;
}

/** What the server on this port answers to a command in its inline form. */
export async function tellRedis(port: number, command: string): Promise<string> {
  const socket = connect(port, '127.0.0.1');
  socket.end(`${command}\r\n`);
  let reply = '';
  for await (const chunk of socket) reply += String(chunk);
  if (reply.startsWith('-')) throw new Error(`redis answered ${command} with ${reply}`);
  return reply;
}

/** Asks until the answer holds `expected`; at most ten seconds. */
export async function untilRedis(port: number, command: string, expected: string): Promise<void> {
  const until = Date.now() + 10_000;
  let reply = '';
  while (Date.now() < until) {
    // One that changes its role may break the connection off.
    reply = await tellRedis(port, command).catch(String);
    if (reply.includes(expected)) return;
    await new Promise((resolve) => {
      setTimeout(resolve, 20);
    });
  }
  throw new Error(`redis never answered ${command} with ${expected}: ${reply}`);
}

export async function freePort(): Promise<number> {
  const probe = createServer().listen(0, '127.0.0.1');
  await once(probe, 'listening');
  const address = probe.address();
  probe.close();
  await once(probe, 'close');
  if (address === null || typeof address === 'string') throw new Error('no port');
  return address.port;
}
