import { afterAll, beforeAll, expect, it } from 'vitest';
import { CountersignError, createCountersignClient } from '../../src/client/index.js';
import { eventually } from '../resilience/eventually.js';
import { runProgram, temporaryFolder } from '../resilience/process.js';
import { describePostgres } from '../support/databases.js';
import { PASSWORD, unique } from '../support/people.js';
import { allGone, busyClient, connections, isAlive, startCluster } from './processes.js';

/** Sign-ups that wait for their turn in the hash lanes, over as many connections as callers. */
function signUps(address: string, callers: number, each: number) {
  const clients = Array.from({ length: callers }, (_, index) =>
    createCountersignClient({ address, userAgent: `caller-${index}`, deadlineMs: 15_000 }),
  );
  const outcomes = Promise.all(
    clients.flatMap(({ auth }) =>
      Array.from({ length: each }, () =>
        auth.signUp({ username: unique.username(), password: PASSWORD }).then(
          () => 'OK',
          (error: unknown) => (error instanceof CountersignError ? error.codeName : 'OTHER'),
        ),
      ),
    ),
  );
  const warm = Promise.all(clients.map(({ auth }) => auth.getJsonWebKeySet({})));
  return { warm, outcomes, close: () => clients.forEach((client) => void client.close()) };
}

describePostgres('several processes on one machine', (database) => {
  /** One for all: its keys belong to the database. */
  let folder: Awaited<ReturnType<typeof temporaryFolder>>;
  const place = () => ({ url: database().url, folder: folder.path });

  beforeAll(async () => {
    folder = await temporaryFolder();
  });
  afterAll(() => folder?.[Symbol.asyncDispose]());

  it('serve behind one address, and a killed one breaks its own connections only and comes back', async () => {
    await using cluster = await startCluster(3, place());
    const { server, workerPids } = cluster;
    const before = await workerPids();
    expect(before).toHaveLength(3);
    expect(server.stdout.match(/^listening on /gm)).toHaveLength(1);
    expect(server.stdout).toMatch(/^ {2}workers +3 processes, with up to 30 connections/m);

    const clients = Array.from({ length: 9 }, (_, i) => busyClient(server.address, `busy-${i}`));
    await eventually('all are answered', async () =>
      clients.every(({ outcomes }) => outcomes.length > 3),
    );
    const bare = await connections(server.address, 30);
    const [victim = 0] = before;
    process.kill(victim, 'SIGKILL');
    await eventually('another worker takes its place', async () => {
      const pids = await workerPids();
      return pids.length === 3 && !pids.includes(victim);
    });
    const calls = clients.map(({ outcomes }) => outcomes.length);
    await eventually('all are answered again', async () =>
      clients.every(({ outcomes }, i) => outcomes.length > (calls[i] ?? 0) + 3),
    );
    // Handed out in turn: a third each, give or take the clients that connected meanwhile.
    expect(bare.closed()).toBeGreaterThanOrEqual(7);
    expect(bare.closed()).toBeLessThanOrEqual(13);
    bare.end();
    await Promise.all(clients.map((client) => client.stop()));
    const broken = clients.filter(({ outcomes }) => outcomes.some((outcome) => outcome !== 'OK'));
    expect(broken.length).toBeLessThan(clients.length);
    for (const { outcomes } of broken) {
      const failures = outcomes.filter((outcome) => outcome !== 'OK');
      expect(new Set(failures)).toEqual(new Set(['UNAVAILABLE']));
      // How many is the client's affair: one that comes back before the death is noticed has its new
      // connection closed too, and refuses calls by itself until its pause of a second is over.
    }

    // Whichever worker is asked answers for all of them, each under its place.
    await eventually('the page has all of them, and the one that is new', async () => {
      const page = await (await fetch(`http://${server.httpAddress}/metrics`)).text();
      const places = [...page.matchAll(/^countersign_serving\{worker="(\d)"\} 1$/gm)];
      const found = places.map(([, place = '']) => Number(place)).toSorted();
      expect(page).toContain(`\ncountersign_workers_missing ${3 - found.length}\n`);
      return found.join() === '1,2,3';
    });

    // As Ctrl-C does: the signal reaches all of them, and the primary tells the workers besides.
    const under = signUps(server.address, 4, 4);
    await under.warm;
    const pids = await workerPids();
    for (const pid of [...pids, server.pid]) process.kill(pid, 'SIGINT');
    expect(new Set(await under.outcomes)).toEqual(new Set(['OK']));
    expect(await server.exited).toBe(0);
    expect(server.stdout.endsWith('draining\nstopped\n')).toBe(true);
    under.close();
    await allGone([...before, ...pids]);
  }, 60_000);

  it('outlive a killed primary for the calls that they have, and leave nobody behind', async () => {
    await using cluster = await startCluster(2, place());
    const { server, workerPids } = cluster;
    const pids = await workerPids();
    expect(pids).toHaveLength(2);
    const under = signUps(server.address, 4, 3);
    await under.warm;
    server.kill('SIGKILL');
    expect(new Set(await under.outcomes)).toEqual(new Set(['OK']));
    under.close();
    await allGone(pids);
  }, 60_000);

  it('end at once at the second signal', async () => {
    await using cluster = await startCluster(2, place());
    const { server, workerPids } = cluster;
    const pids = await workerPids();
    // Stopped, they cannot drain.
    for (const pid of pids) process.kill(pid, 'SIGSTOP');
    server.kill('SIGTERM');
    await server.printed(/^draining$/m);
    expect(pids.every(isAlive)).toBe(true);
    server.kill('SIGTERM');
    expect(await server.exited).toBe(1);
    await allGone(pids);
  }, 60_000);

  it('say once why they cannot start, and give up', async () => {
    const { code, stdout, stderr } = await runProgram(['serve'], {
      WORKERS: '3',
      ALLOW_MEMORY_LIMITS: 'true',
      DATABASE_URL: `${database().url}_missing`,
      DATA_DIR: folder.path,
      LOG_LEVEL: 'error',
    });
    expect({ code, stdout }).toEqual({ code: 1, stdout: '' });
    expect(stderr.trimEnd().split('\n')).toEqual([
      expect.stringMatching(/^countersign: the database of DATABASE_URL cannot be used: /),
    ]);
  }, 30_000);
});
