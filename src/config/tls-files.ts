import { X509Certificate } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createSecureContext } from 'node:tls';
import { ConfigError, type ConfigProblem } from './config-error.js';
import type { Config } from './config-types.js';

/** The PEM files of the gRPC listener, as they are on disk. */
export interface TlsFiles {
  readonly certificate: Buffer;
  readonly key: Buffer;
  readonly clientCa?: Buffer;
}

/**
 * Reads the certificate, its key and the authorities of clients, and tries them together, so that what
 * is wrong with one is known by name before anything is opened.
 *
 * @throws ConfigError where a file cannot be read, is no PEM, or the pair does not belong together.
 */
export async function readTlsFiles(tls: Config['tls']): Promise<TlsFiles | undefined> {
  if (tls === undefined) return undefined;
  const problems: ConfigProblem[] = [];
  const read = async (name: string, path: string): Promise<Buffer> => {
    try {
      return await inTime(readFile(path));
    } catch (error) {
      const wrong = `${path} cannot be read (${codeOf(error)})`;
      problems.push({ name, wrong, remedy: 'Name a PEM file that this user may read' });
      return Buffer.alloc(0);
    }
  };
  const certificate = await read('TLS_CERT_FILE', tls.certFile);
  const key = await read('TLS_KEY_FILE', tls.keyFile);
  const { clientCaFile } = tls;
  const clientCa =
    clientCaFile === undefined ? undefined : await read('TLS_CLIENT_CA_FILE', clientCaFile);
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
  if (clientCa === undefined) return { certificate, key };
  checkAuthorities(clientCaFile ?? '', clientCa);
  return { certificate, key, clientCa };
}

const READ_TIMEOUT_MS = 5_000;

/** A file on a share that has gone away is never read; the thread that tries is not to be had back. */
function inTime(reading: Promise<Buffer>): Promise<Buffer> {
  return new Promise((resolve, reject) => {
    const late = Object.assign(new Error('not read in time'), { code: 'ETIMEDOUT' });
    const timer = setTimeout(() => reject(late), READ_TIMEOUT_MS);
    reading.then(resolve, reject).finally(() => clearTimeout(timer));
  });
}

const PEM_CERTIFICATE = /-----BEGIN CERTIFICATE-----[^-]*-----END CERTIFICATE-----/g;
/** Each is parsed, and compared with what a client shows; a whole system's bundle has fewer. */
const MAX_AUTHORITIES = 256;

/** OpenSSL takes a file without any certificate in silence, and then nobody's would be good. */
function checkAuthorities(path: string, pem: Buffer): void {
  const refuse = (wrong: string): never => {
    const remedy = 'Name a PEM file with the certificates of one or more authorities';
    throw new ConfigError([{ name: 'TLS_CLIENT_CA_FILE', wrong: `${path} ${wrong}`, remedy }]);
  };
  const blocks = pem.toString('latin1').match(PEM_CERTIFICATE) ?? [];
  if (blocks.length === 0) refuse('holds no PEM certificate');
  if (blocks.length > MAX_AUTHORITIES) refuse(`holds more than ${MAX_AUTHORITIES} certificates`);
  for (const block of blocks) {
    let authority = false;
    try {
      authority = new X509Certificate(block).ca;
    } catch (error) {
      refuse(`holds a certificate that cannot be read (${codeOf(error)})`);
    }
    if (!authority) refuse('holds a certificate that is not one of an authority');
  }
}

function codeOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown';
  return 'code' in error && typeof error.code === 'string' ? error.code : error.name;
}
