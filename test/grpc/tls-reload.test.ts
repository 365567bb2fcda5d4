import { mkdtemp, rename, rm, symlink, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { connect as connectTls } from 'node:tls';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { readTlsFiles } from '../../src/config/index.js';
import { reloadTls } from '../../src/grpc/tls-reload.js';
import { eventually } from '../resilience/eventually.js';
import { type Authority, LOCAL_NAMES, makeAuthority, type Pair } from '../support/certificates.js';
import { type EdgeServer, openEdge, openRaw, rawCall } from './edge-server.js';
import { collectLog, newSeen } from './toy-edge.js';

let servers: Authority;
let clients: Authority;
let first: Pair;
let second: Pair;

beforeAll(async () => {
  [servers, clients] = await Promise.all([makeAuthority(), makeAuthority()]);
  first = await servers.issue({ names: LOCAL_NAMES, use: 'serverAuth' });
  second = await servers.issue({ names: LOCAL_NAMES, use: 'serverAuth', days: 30 });
});

/** A folder as Kubernetes mounts secrets: `data` is a link that is swapped as a whole. */
async function openFollowing(start: Readonly<Record<string, Buffer>>) {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-reload-'));
  onTestFinished(() => rm(folder, { recursive: true }));
  let version = 0;
  const put = async (files: Readonly<Record<string, Buffer>>): Promise<void> => {
    version += 1;
    const into = await mkdtemp(join(folder, 'v'));
    for (const [name, bytes] of Object.entries(files)) await writeFile(join(into, name), bytes);
    await symlink(into, join(folder, `link${version}`));
    await rename(join(folder, `link${version}`), join(folder, 'data'));
  };
  await put(start);
  const files = {
    certFile: join(folder, 'data', 'crt'),
    keyFile: join(folder, 'data', 'key'),
    ...('ca' in start ? { clientCaFile: join(folder, 'data', 'ca') } : {}),
  };
  const read = () => readTlsFiles(files);
  const edge = await openEdge({ tls: await read(), readTls: read, tlsPollMs: 20 });
  return { edge, put };
}

/** The end of the certificate that a new connection is shown; undefined where there is none. */
function shown(edge: EdgeServer, own?: Pair): Promise<string | undefined> {
  return new Promise((resolve) => {
    const socket = connectTls({
      ...{ host: '127.0.0.1', port: Number(edge.address.split(':')[1]), servername: 'localhost' },
      ...{ ca: servers.certificate, ALPNProtocols: ['h2'] },
      ...(own === undefined ? {} : { cert: own.certificate, key: own.key }),
    });
    const end = socket.getPeerX509Certificate.bind(socket);
    socket.on('error', () => resolve(undefined)).on('close', () => resolve(undefined));
    // Only a connection that was taken says something.
    socket.once('data', () => {
      resolve(end()?.validTo);
      socket.destroy();
    });
  });
}

const material = ({ certificate, key }: Pair) => ({ certificate, key });

const pem = ({ certificate, key }: Pair) => ({ crt: certificate, key });

describe('TLS files that change', () => {
  it('are used for new connections, and no call under way fails', async () => {
    const { edge, put } = await openFollowing(pem(first));
    const before = edge.certificateExpiresAt;
    const session = await openRaw(edge.target, { ca: servers.certificate });
    let calling = true;
    const calls = (async () => {
      const answers: string[] = [];
      while (calling) answers.push(await rawCall(session));
      return answers;
    })();
    const old = await shown(edge);
    await put(pem(second));
    await eventually('the new one was shown', async () => (await shown(edge)) !== old);
    await rawCall(session);
    calling = false;
    const answers = await calls;
    expect(answers.length).toBeGreaterThan(1);
    expect(new Set(answers)).toEqual(new Set(['0']));
    expect(edge.certificateExpiresAt?.getTime()).toBeGreaterThan(before?.getTime() ?? 0);
    const said = edge.seen.logged.filter(({ message }) => message.includes('TLS'));
    expect(said).toEqual([
      {
        level: 'info',
        fields: { expiresAt: edge.certificateExpiresAt },
        message: 'new TLS files are in use',
      },
    ]);
  });

  it('stay unused while they do not fit, which is said once', async () => {
    const { edge, put } = await openFollowing(pem(first));
    const old = await shown(edge);
    const complaints = () => edge.seen.logged.filter(({ level }) => level === 'error').length;
    await put({ crt: second.certificate, key: first.key });
    await eventually('it was said', async () => complaints() === 1);
    await put({ crt: second.certificate });
    await eventually('the next fault was said', async () => complaints() === 2);
    // Some more readings of the same.
    for (let reading = 0; reading < 5; reading += 1) expect(await shown(edge)).toBe(old);
    expect(complaints()).toBe(2);
    await put(pem(second));
    await eventually('the good one was shown', async () => (await shown(edge)) !== old);
  });

  it('are complained of once where TLS itself does not take them', async () => {
    const seen = newSeen();
    let tries = 0;
    const use = () => {
      tries += 1;
      throw new Error('too weak');
    };
    const reload = reloadTls({
      current: material(first),
      terminator: { accept: () => undefined, use, expiresAt: new Date(0) },
      read: async () => material(second),
      everyMs: 5,
      log: collectLog(seen),
    });
    onTestFinished(() => reload.stop());
    await expect.poll(() => tries).toBeGreaterThan(4);
    expect(seen.logged.map(({ level }) => level)).toEqual(['error']);
  });

  it('may replace the authorities of clients', async () => {
    const others = await makeAuthority();
    const names = ['DNS:bff.internal'];
    const [mine, theirs] = await Promise.all([clients.issue({ names }), others.issue({ names })]);
    const { edge, put } = await openFollowing({ ...pem(first), ca: clients.certificate });
    expect([await shown(edge, mine), await shown(edge, theirs)]).toEqual([
      expect.any(String),
      undefined,
    ]);
    await put({ ...pem(first), ca: others.certificate });
    await eventually('the new one held', async () => (await shown(edge, theirs)) !== undefined);
    expect(await shown(edge, mine)).toBeUndefined();
    await put({ ...pem(first), ca: Buffer.concat([others.certificate, clients.certificate]) });
    await eventually('both held', async () => (await shown(edge, mine)) !== undefined);
    expect(await shown(edge, theirs)).toBeDefined();
  });
});

describe('the authorities of clients', () => {
  it.each([
    ['no PEM certificate', () => Buffer.from('nothing\n')],
    ['not one of an authority', () => first.certificate],
    [
      'cannot be read',
      () => Buffer.from('-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n'),
    ],
  ])('are refused at the start: %s', async (wrong, ca) => {
    await expect(openFollowing({ ...pem(first), ca: ca() })).rejects.toThrow(wrong);
  });
});
