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
      'PEM file with the certificate chain of the gRPC listener. Goes together with `TLS_KEY_FILE`.',
  },
  TLS_KEY_FILE: {
    kind: 'path',
    absent: 'plaintext',
    since: '0.1.0',
    description: 'PEM file with the private key of the certificate in `TLS_CERT_FILE`.',
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
  DRAIN_TIMEOUT: {
    kind: 'duration',
    default: '20s',
    min: '1s',
    max: '5m',
    since: '0.1.0',
    description:
      'How long calls that are under way may go on after SIGTERM or SIGINT; what is left then is cut off. Whatever follows (workers, queued messages, audit records, connections) has bounds of its own, 20 s together. Let the supervisor wait for the sum of both before it kills.',
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
