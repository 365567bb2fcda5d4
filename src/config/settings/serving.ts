import type { Setting } from './setting.js';

export const servingSettings = {
  LISTEN_ADDRESS: {
    kind: 'address',
    default: '127.0.0.1:50051',
    since: '0.1.0',
    description:
      'Where gRPC is served. Port 0 picks a free one; the one in use is printed as `listening on host:port`. As long as this and `HTTP_ADDRESS` are on loopback, the server runs in development mode; anywhere else see [Permissions](#permissions).',
  },
  HTTP_ADDRESS: {
    kind: 'address',
    default: '127.0.0.1:9464',
    since: '0.1.0',
    description:
      'Where the HTTP side port is served: the key set for proxies and health for probes. It is plain HTTP by design, since probes and scrapers expect that, and it holds nothing secret; off loopback it needs `ALLOW_PLAINTEXT` all the same, so that nobody opens it unawares. Port 0 picks a free one.',
  },
  TLS_CERT_FILE: {
    kind: 'path',
    absent: 'plaintext',
    since: '0.1.0',
    description:
      'PEM file with the certificate chain of the gRPC listener. Goes together with `TLS_KEY_FILE`. The files of TLS are read again when they change, without a restart: [operations](operations.md#tls).',
  },
  TLS_KEY_FILE: {
    kind: 'path',
    absent: 'plaintext',
    since: '0.1.0',
    description: 'PEM file with the private key of the certificate in `TLS_CERT_FILE`.',
  },
  TLS_CLIENT_CA_FILE: {
    kind: 'path',
    absent: 'no client is asked for a certificate',
    since: '0.1.0',
    description:
      'PEM file with the authorities that issue certificates to calling services. With it every client is asked for a certificate: one that none of these issued ends the connection, one that a caller is registered by says who calls, and without one callers use their keys. Needs `TLS_CERT_FILE` and `TLS_KEY_FILE`.',
  },
  MAX_CONNECTIONS: {
    kind: 'whole',
    default: '4096',
    min: 16,
    max: 65_536,
    since: '0.1.0',
    description:
      'Most gRPC connections at once, of one process. Beyond it the address that has most of them gives up one without a call under way, so keep the limit of open files above it, with 200 to spare.',
  },
  MAX_CONNECTIONS_PER_ADDRESS: {
    kind: 'whole',
    default: '512',
    min: 4,
    max: 65_536,
    since: '0.1.0',
    description:
      'Most gRPC connections at once of one remote address (IPv6: of one /64). Beyond it one of its own without a call under way gives way. Raise it where all clients come through a balancer that hides their addresses.',
  },
  WORKERS: {
    kind: 'whole',
    default: '1',
    min: 1,
    max: 64,
    unit: 'processes',
    since: '0.1.0',
    description:
      'Processes that serve on this machine, behind the same addresses. With more than one, a process that serves nothing starts them, replaces one that dies, and stops them all. More than one needs `DATABASE_URL`, and `REDIS_URL` unless `ALLOW_MEMORY_LIMITS` is set: then each counts for itself, and a limit is as many times as large. Usually one per core; `DATABASE_POOL_SIZE` is per process.',
  },
  CALL_TIMEOUT: {
    kind: 'duration',
    default: '15s',
    min: '1s',
    max: '2m',
    since: '0.1.0',
    description:
      'Longest that one call may take. A client that sets a shorter deadline gets its own; at the end the statement that runs for the call is cancelled.',
  },
  DRAIN_NOTICE: {
    kind: 'duration',
    default: '0s',
    min: '0s',
    max: '1m',
    since: '0.1.0',
    description:
      'How long everything is still served after SIGTERM or SIGINT, while health and readiness already say no. For balancers that poll them: set it to a little more than they take to notice. `DRAIN_TIMEOUT` begins afterwards.',
  },
  DRAIN_TIMEOUT: {
    kind: 'duration',
    default: '20s',
    min: '1s',
    max: '5m',
    since: '0.1.0',
    description:
      'How long calls that are under way may go on after SIGTERM or SIGINT; what is left then is cut off. Whatever follows (workers, queued messages, audit records, connections) has bounds of its own, 20 s together. Let the supervisor wait for the sum of `DRAIN_NOTICE` and both before it kills.',
  },
  LOG_LEVEL: {
    kind: 'choice',
    default: 'info',
    values: ['debug', 'info', 'warn', 'error'],
    since: '0.1.0',
    description:
      'Least severe log lines that are written. No level writes codes, passwords, tokens or full addresses.',
  },
} as const satisfies Record<string, Setting>;
