import { connect as connectTls, type TLSSocket } from 'node:tls';
import { credentials } from '@grpc/grpc-js';
import { beforeAll, describe, expect, it, onTestFinished } from 'vitest';
import { AuthServiceClient } from '../../generated/countersign/v1/auth_service.js';
import {
  type Authority,
  LOCAL_NAMES,
  makeAuthority,
  type Pair,
  selfSigned,
} from '../support/certificates.js';
import { type EdgeServer, openEdge } from './edge-server.js';
import { call, detailsOf, goodKey } from './toy-edge.js';

const BFF = ['DNS:bff.internal', 'URI:spiffe://example.org/bff'];

let servers: Authority;
let clients: Authority;
let server: Pair;
let bff: Pair;

beforeAll(async () => {
  [servers, clients] = await Promise.all([makeAuthority(), makeAuthority()]);
  [server, bff] = await Promise.all([
    servers.issue({ names: LOCAL_NAMES, use: 'serverAuth' }),
    clients.issue({ names: BFF }),
  ]);
});

/** Knows one service by its certificate, another that is disabled, and by keys what every toy edge does. */
function openMutual(more: { anonymous?: boolean } = {}): Promise<EdgeServer> {
  const everything = new Set(['keys', 'sign-in']);
  const tls = { ...server, clientCa: clients.certificate };
  return openEdge(
    { tls },
    {
      deps: {
        allowAnonymousCallers: more.anonymous === true,
        callers: {
          find: async (key) =>
            key === goodKey ? { name: 'by-key', rpcGroups: everything } : undefined,
          findByCertificate: async (names) => {
            if (names.includes('DNS:disabled.internal')) return 'refused';
            if (names.includes('URI:spiffe://example.org/bff')) {
              return { name: 'bff', rpcGroups: new Set(['keys']) };
            }
            return undefined;
          },
        },
      },
    },
  );
}

/** What a call by a connection of its own is answered: OK, a reason, or that there is no connection. */
async function answer(
  edge: EdgeServer,
  shown?: Pair,
  metadata: Readonly<Record<string, string>> = {},
  rpc: 'keys' | 'signIn' = 'keys',
): Promise<string> {
  const secrets = credentials.createSsl(
    servers.certificate,
    shown?.key ?? null,
    shown?.certificate ?? null,
  );
  const client = new AuthServiceClient(edge.target, secrets);
  onTestFinished(() => client.close());
  const options = { metadata, deadlineMs: 4_000 };
  const outcome =
    rpc === 'keys'
      ? await call(client, client.getJsonWebKeySet, {}, options)
      : await call(
          client,
          client.signIn,
          { identifier: 'ada', password: 'x', scope: undefined, region: undefined },
          options,
        );
  if (outcome.error === null) return 'OK';
  const told = outcome.status.metadata.get('grpc-status-details-bin').length > 0;
  return told ? (detailsOf(outcome).info?.reason ?? 'no reason') : 'no connection';
}

describe('a client certificate', () => {
  it('says who calls, for every call of its connection', async () => {
    const edge = await openMutual();
    expect(await answer(edge, bff)).toBe('OK');
    expect(edge.seen.audit).toMatchObject([{ caller: 'bff', outcome: 'OK' }]);
  });

  it('grants the groups of its caller, whatever key is shown beside it', async () => {
    const edge = await openMutual();
    const key = { 'countersign-caller-key': goodKey };
    expect(await answer(edge, bff, key, 'signIn')).toBe('CALLER_NOT_ALLOWED');
    expect(await answer(edge, bff, { 'countersign-caller-key': 'ck_none' })).toBe('OK');
    expect(edge.seen.audit.map(({ caller }) => caller)).toEqual(['bff', 'bff']);
  });

  it.each(['203.0.113.9', '::ffff:203.0.113.9'])(
    'lets its caller speak for %s (rule 21)',
    async (claimed) => {
      const edge = await openMutual();
      const address = (text: string) => ({ 'countersign-client-address': text });
      expect(await answer(edge, bff, address(claimed))).toBe('OK');
      expect(await answer(edge, bff, address('203.0.113.9:80'))).toBe('FIELD_INVALID');
      expect(await answer(edge, bff, address('2001:db8::1, 10.0.0.1'))).toBe('FIELD_INVALID');
      expect(edge.seen.audit.map(({ source }) => source)).toEqual([
        '203.0.113.9',
        '127.0.0.1',
        '127.0.0.1',
      ]);
    },
  );

  it('that holds and names nobody leaves it to the key', async () => {
    const edge = await openMutual();
    const stranger = await clients.issue({ names: ['DNS:stranger.internal'] });
    expect(await answer(edge, stranger, { 'countersign-caller-key': goodKey })).toBe('OK');
    expect(edge.seen.audit).toMatchObject([{ caller: 'by-key' }]);
    expect(await answer(edge, stranger)).toBe('CALLER_UNKNOWN');
    const open = await openMutual({ anonymous: true });
    expect(await answer(open, stranger, { 'countersign-client-address': '203.0.113.9' })).toBe(
      'OK',
    );
    expect(open.seen.audit).toMatchObject([{ caller: '', source: '127.0.0.1' }]);
  });

  it('of a disabled caller is not anonymous, and no key makes up for it', async () => {
    const edge = await openMutual({ anonymous: true });
    const disabled = await clients.issue({ names: ['DNS:disabled.internal'] });
    expect(await answer(edge, disabled)).toBe('CALLER_UNKNOWN');
    const key = { 'countersign-caller-key': goodKey };
    expect(await answer(edge, disabled, key)).toBe('CALLER_UNKNOWN');
  });

  it('that does not hold ends the connection, also beside a good key', async () => {
    const edge = await openMutual({ anonymous: true });
    const other = await makeAuthority();
    const bad: Readonly<Record<string, Pair>> = {
      'self-signed': await selfSigned(BFF),
      expired: await clients.issue({ names: BFF, days: -1 }),
      'of another authority': await other.issue({ names: BFF }),
      "of the server's authority": await servers.issue({ names: BFF }),
      'for servers': await clients.issue({ names: BFF, use: 'serverAuth' }),
    };
    for (const [kind, pair] of Object.entries(bad)) {
      const got = await answer(edge, pair, { 'countersign-caller-key': goodKey });
      expect(got, kind).toBe('no connection');
    }
    expect(edge.seen.audit).toEqual([]);
    const reasons = edge.seen.logged.filter(({ message }) => message.includes('certificate'));
    expect(reasons.length).toBeGreaterThanOrEqual(Object.keys(bad).length);
  });

  it('need not be shown: a key does as well, and nothing does not', async () => {
    const edge = await openMutual();
    expect(await answer(edge, undefined, { 'countersign-caller-key': goodKey })).toBe('OK');
    expect(await answer(edge)).toBe('CALLER_UNKNOWN');
  });

  it('is looked at in every handshake: no session is resumed', async () => {
    const edge = await openMutual();
    const again = (session?: Buffer) =>
      new Promise<{ reused: boolean; session: Buffer | undefined }>((resolve, reject) => {
        const socket: TLSSocket = connectTls({
          ...{
            host: '127.0.0.1',
            port: Number(edge.address.split(':')[1]),
            servername: 'localhost',
          },
          ...{
            ca: servers.certificate,
            cert: bff.certificate,
            key: bff.key,
            ALPNProtocols: ['h2'],
          },
          ...(session === undefined ? {} : { session }),
        });
        onTestFinished(() => void socket.destroy());
        socket.on('error', reject);
        // The server's first bytes come after whatever tickets it has to give.
        socket.once('data', () =>
          resolve({ reused: socket.isSessionReused(), session: socket.getSession() }),
        );
      });
    const first = await again();
    expect((await again(first.session)).reused).toBe(false);
  });
});
