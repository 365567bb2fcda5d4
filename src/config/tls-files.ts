import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { ConfigError, type ConfigProblem } from './config-error.js';
import type { Config } from './config-types.js';

/** The two PEM files of the gRPC listener, as they are on disk. */
export interface TlsFiles {
  readonly certificate: Buffer;
  readonly key: Buffer;
}

/**
 * Reads the certificate and its key, and tries them together, so that what is wrong with either is
 * known by name before anything is opened.
 *
 * @throws ConfigError where a file cannot be read, is no PEM, or the two do not belong together.
 */
export async function readTlsFiles(tls: Config['tls']): Promise<TlsFiles | undefined> {
  if (tls === undefined) return undefined;
  const problems: ConfigProblem[] = [];
  const read = async (name: string, path: string): Promise<Buffer> => {
    try {
      return await readFile(path);
    } catch (error) {
      const wrong = `${path} cannot be read (${codeOf(error)})`;
      problems.push({ name, wrong, remedy: 'Name a PEM file that this user may read' });
      return Buffer.alloc(0);
    }
  };
  const certificate = await read('TLS_CERT_FILE', tls.certFile);
  const key = await read('TLS_KEY_FILE', tls.keyFile);
  if (problems.length > 0) throw new ConfigError(problems);
  const tried = [
    { name: 'TLS_CERT_FILE', cert: certificate, wrong: `${tls.certFile} holds no PEM certificate` },
    { name: 'TLS_KEY_FILE', key, wrong: `${tls.keyFile} holds no usable PEM private key` },
    {
      name: 'TLS_CERT_FILE, TLS_KEY_FILE',
      cert: certificate,
      key,
      wrong: 'the key does not belong to the certificate',
    },
  ];
  for (const { name, wrong, ...parts } of tried) {
    try {
      createSecureContext(parts);
    } catch (error) {
      const remedy = 'Use a certificate chain and its own unencrypted key, both in PEM';
      throw new ConfigError([{ name, wrong: `${wrong} (${codeOf(error)})`, remedy }]);
    }
  }
  return { certificate, key };
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
