import type { Setting, SwitchSetting } from './setting.js';

function permission(description: string): SwitchSetting {
  return { kind: 'switch', default: 'false', since: '0.1.0', description };
}

/** Rule 24: each danger has a permission of its own, so that none is granted by accident. */
export const permissionSettings = {
  ALLOW_PLAINTEXT: permission(
    'Serve off loopback without TLS: gRPC without `TLS_CERT_FILE` and `TLS_KEY_FILE`, and the HTTP side port, which never has TLS. Meant for a network that something else encrypts.',
  ),
  ALLOW_ANONYMOUS_CALLERS: permission(
    'Accept calls without a caller key off loopback. Without it every calling service needs a key there; in development no key is asked for. An anonymous caller is not believed when it reports a client address.',
  ),
  ALLOW_EMBEDDED_DATABASE: permission('Run on the embedded database off loopback.'),
  ALLOW_MEMORY_LIMITS: permission(
    'Run without Redis off loopback, or with several `WORKERS`. Right for exactly one process: each process would count alone.',
  ),
  ALLOW_CONSOLE_TRANSPORT: permission(
    'Print mail or text messages, with their codes, to standard output off loopback.',
  ),
  ALLOW_FILE_TRANSPORT: permission(
    'Write mail or text messages, with their codes, to a file off loopback.',
  ),
  ALLOW_SHORT_CODES: permission(
    'Accept a `CODE_LENGTH` of 4 or 5, on loopback too. The promised bound on guessing is then 100 or 10 times weaker.',
  ),
} as const satisfies Record<string, Setting>;
