import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { Socket } from 'node:net';

export interface SideServerOptions {
  /** `host:port`; `[::1]:0` for IPv6. Port 0 picks one. */
  readonly address: string;
  /** The key set, in JSON; the same as `GetJsonWebKeySet` answers. */
  jwks(): string;
  /** Whether calls can be served now: the database answers and no drain has begun. */
  ready(): boolean;
  /** The metrics, in the text format of Prometheus. */
  metrics(): Promise<string>;
}

export interface SideServer extends AsyncDisposable {
  /** `host:port`, with the port that was picked. */
  readonly address: string;
}

/** Keys are published before use by more than this, so that a cached set always knows them (rule 19). */
const JWKS_MAX_AGE_SECONDS = 300;

const SECOND = 1_000;
const MAX_HEADER_BYTES = 8 * 1024;
const MAX_HEADERS = 64;
const MAX_CONNECTIONS = 256;
/** Of one remote address; a prober needs one, and a scraper a few. */
const MAX_CONNECTIONS_PER_ADDRESS = 32;
/** For so long whoever asks for the metrics gets the same page: a flood of scrapes costs four a second. */
const METRICS_MS = 250;

interface Page {
  readonly status: number;
  readonly type: string;
  readonly cacheControl: string;
  readonly body: string;
}

/**
 * The HTTP port: the key set for proxies and verifiers, health for probes, and metrics for scrapers.
 * It reads no request body.
 */
export async function openSideServer(given: SideServerOptions): Promise<SideServer> {
  const options = { ...given, metrics: onceInAWhile(() => given.metrics()) };
  const server = createServer(
    {
      maxHeaderSize: MAX_HEADER_BYTES,
      // Nobody who asks here sends more than a few lines.
      headersTimeout: 2 * SECOND,
      requestTimeout: 2 * SECOND,
      keepAliveTimeout: 5 * SECOND,
      connectionsCheckingInterval: SECOND,
    },
    (request, response) => void serve(options, request, response),
  );
  server.maxHeadersCount = MAX_HEADERS;
  boundConnections(server);
  // Also bounds a client that does not read its answer.
  server.setTimeout(10 * SECOND);
  const port = await listen(server, options.address);
  return {
    address: options.address.replace(/:\d+$/, `:${port}`),
    [Symbol.asyncDispose]: () => close(server),
  };
}

/**
 * Where there are too many connections, the oldest gives way. Refusing the newest, as Node's
 * `maxConnections` does, would let whoever holds slow connections shut the probes out: a probe is
 * served as soon as it has arrived.
 */
function boundConnections(server: Server): void {
  // In the order of their arrival. A socket that was closed does not know its address any more.
  const open = new Map<Socket, string>();
  server.on('connection', (socket) => {
    const address = socket.remoteAddress ?? '';
    const sameAddress = [...open].filter(([, other]) => other === address);
    const [oldest] =
      sameAddress.length >= MAX_CONNECTIONS_PER_ADDRESS
        ? sameAddress
        : open.size >= MAX_CONNECTIONS
          ? open
          : [];
    if (oldest !== undefined) {
      open.delete(oldest[0]);
      oldest[0].destroy();
    }
    open.set(socket, address);
    socket.once('close', () => open.delete(socket));
  });
}

/** Never rejects. */
async function serve(
  options: SideServerOptions,
  request: IncomingMessage,
  response: ServerResponse,
): Promise<void> {
  const { status, type, cacheControl, body } = await pageOf(options, request);
  response.writeHead(status, {
    'content-type': type,
    'content-length': Buffer.byteLength(body),
    'cache-control': cacheControl,
    'x-content-type-options': 'nosniff',
    ...(status === 405 ? { allow: 'GET, HEAD' } : {}),
    // What follows the head of a refused request is not read, so the connection is of no more use.
    ...(status === 405 ? { connection: 'close' } : {}),
  });
  response.end(request.method === 'HEAD' ? undefined : body);
}

function pageOf(
  options: SideServerOptions,
  { method, url = '' }: IncomingMessage,
): Page | Promise<Page> {
  if (method !== 'GET' && method !== 'HEAD') return text(405, 'only GET and HEAD');
  switch (url.split('?', 1)[0]) {
    case '/.well-known/jwks.json':
      return keySet(options);
    case '/healthz':
      return text(200, 'ok');
    case '/readyz':
      return options.ready() ? text(200, 'ready') : text(503, 'not ready');
    case '/metrics':
      return metricsPage(options);
    default:
      return text(404, 'not found');
  }
}

function keySet({ jwks }: SideServerOptions): Page {
  try {
    return {
      status: 200,
      type: 'application/jwk-set+json',
      cacheControl: `public, max-age=${JWKS_MAX_AGE_SECONDS}`,
      body: jwks(),
    };
  } catch {
    // No keys yet: they are read from the database at start.
    return text(503, 'no keys yet');
  }
}

async function metricsPage({ metrics }: SideServerOptions): Promise<Page> {
  try {
    const type = 'text/plain; version=0.0.4; charset=utf-8';
    return { status: 200, type, cacheControl: 'no-store', body: await metrics() };
  } catch {
    return text(503, 'no metrics now');
  }
}

/** One run at a time, whose result holds for a moment. */
function onceInAWhile(render: () => Promise<string>): () => Promise<string> {
  let page: Promise<string> | undefined;
  const forget = (): void => {
    page = undefined;
  };
  return () => {
    page ??= render().finally(() => setTimeout(forget, METRICS_MS).unref());
    return page;
  };
}

function text(status: number, body: string): Page {
  return { status, type: 'text/plain; charset=utf-8', cacheControl: 'no-store', body: `${body}\n` };
}

function listen(server: Server, address: string): Promise<number> {
  const { hostname, port } = new URL(`http://${address}`);
  const host = hostname.replace(/^\[|\]$/g, '');
  return new Promise((resolve, reject) => {
    // Stays: a later error (no file descriptor left to accept with) must not end the process.
    server.on('error', (error) => {
      reject(new Error(`cannot listen on ${address}`, { cause: error }));
    });
    // A URL leaves out the default port of its scheme.
    server.listen({ host, port: port === '' ? 80 : Number(port) }, () => {
      const bound = server.address();
      if (bound === null || typeof bound === 'string') reject(new Error(`no port on ${address}`));
      else resolve(bound.port);
    });
  });
}

function close(server: Server): Promise<void> {
  return new Promise((resolve) => {
    server.close(() => resolve());
    server.closeAllConnections();
  });
}
