import { execFile } from 'node:child_process';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';

const run = promisify(execFile);

/** PEM. */
export interface Pair {
  readonly certificate: Buffer;
  readonly key: Buffer;
}

export interface Issue {
  /** `DNS:localhost`, `URI:spiffe://…`, `IP:127.0.0.1`. */
  readonly names: readonly string[];
  readonly use?: 'serverAuth' | 'clientAuth';
  /** Negative: it has expired. */
  readonly days?: number;
}

export interface Authority extends Pair {
  issue(issue: Issue): Promise<Pair>;
}

const KEY = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes'];
/** What a server on loopback is called. */
export const LOCAL_NAMES = ['DNS:localhost', 'IP:127.0.0.1', 'IP:::1'];

/** A certificate authority that lasts for two days. */
export function makeAuthority(): Promise<Authority> {
  return inFolder(async (path) => {
    await run('openssl', [
      ...['req', '-x509', ...KEY, '-days', '2', '-subj', '/CN=authority'],
      ...['-keyout', path('key'), '-out', path('crt')],
    ]);
    const own = { certificate: await readFile(path('crt')), key: await readFile(path('key')) };
    return { ...own, issue: (issue) => issueBy(own, issue) };
  });
}

/** A certificate that nobody but its owner vouches for. */
export function selfSigned(names: readonly string[]): Promise<Pair> {
  return inFolder(async (path) => {
    await run('openssl', [
      ...['req', '-x509', ...KEY, '-days', '2', '-subj', '/CN=self'],
      ...['-addext', `subjectAltName=${names.join(',')}`],
      ...['-keyout', path('key'), '-out', path('crt')],
    ]);
    return { certificate: await readFile(path('crt')), key: await readFile(path('key')) };
  });
}

function issueBy(authority: Pair, { names, use = 'clientAuth', days = 2 }: Issue): Promise<Pair> {
  return inFolder(async (path) => {
    const extensions = `subjectAltName=${names.join(',')}\nextendedKeyUsage=${use}\n`;
    await Promise.all([
      writeFile(path('ext'), extensions),
      writeFile(path('ca'), authority.certificate),
      writeFile(path('ca.key'), authority.key),
      run('openssl', [
        ...['req', '-new', ...KEY, '-subj', '/CN=leaf'],
        ...['-keyout', path('key'), '-out', path('csr')],
      ]),
    ]);
    await run('openssl', [
      ...['x509', '-req', '-in', path('csr'), '-CA', path('ca'), '-CAkey', path('ca.key')],
      ...['-set_serial', String(Date.now()), '-days', String(days), '-extfile', path('ext')],
      ...['-out', path('crt')],
    ]);
    return { certificate: await readFile(path('crt')), key: await readFile(path('key')) };
  });
}

async function inFolder<T>(act: (path: (name: string) => string) => Promise<T>): Promise<T> {
  const folder = await mkdtemp(join(tmpdir(), 'countersign-certificates-'));
  try {
    return await act((name) => join(folder, name));
  } finally {
    await rm(folder, { recursive: true });
  }
}
