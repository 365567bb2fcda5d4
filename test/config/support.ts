import { ConfigError, type ConfigProblem, loadConfig } from '../../src/config/index.js';

/** 32 bytes that differ, in hex. */
export function hexKey(seed: number): string {
  return Array.from({ length: 32 }, (_, index) => (seed * 7 + index) % 256)
    .map((byte) => byte.toString(16).padStart(2, '0'))
    .join('');
}

/** An environment off loopback without a single problem; only the file transport needs permission. */
export const PRODUCTION = {
  LISTEN_ADDRESS: '0.0.0.0:50051',
  TLS_CERT_FILE: '/etc/countersign/tls.crt',
  TLS_KEY_FILE: '/etc/countersign/tls.key',
  DATABASE_URL: 'postgres://countersign@db.internal/countersign',
  REDIS_URL: 'rediss://cache.internal:6380',
  TOKEN_ISSUER: 'https://id.example.com',
  TOKEN_AUDIENCE: 'example',
  CODE_KEYS: hexKey(1),
  TOKEN_KEYS: hexKey(2),
  DATA_KEYS: hexKey(3),
  MAIL_TRANSPORT: 'file:/var/lib/countersign/messages.jsonl',
  SMS_TRANSPORT: 'file:/var/lib/countersign/messages.jsonl',
  ALLOW_FILE_TRANSPORT: 'true',
} as const;

export function problemsOf(env: Record<string, string | undefined>): readonly ConfigProblem[] {
  try {
    loadConfig(env);
    return [];
  } catch (error) {
    if (error instanceof ConfigError) return error.problems;
    throw error;
  }
}
