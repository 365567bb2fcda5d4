import { isIPv4 } from 'node:net';
import { ChannelCredentials } from '@grpc/grpc-js';

/**
 * PEM texts for TLS. Without `ca`, the system's authorities; `cert` and `key` together for mutual
 * TLS.
 */
export interface TlsCredentials {
  readonly ca?: string | Buffer | undefined;
  readonly cert?: string | Buffer | undefined;
  readonly key?: string | Buffer | undefined;
}

export interface Connection {
  readonly address: string;
  readonly credentials?: TlsCredentials | 'insecure' | undefined;
  readonly plaintext?: boolean | undefined;
}

/**
 * Passwords and tokens cross this connection: plaintext never leaves the machine unless somebody
 * said so by name (the client's side of the rule that the server has for its listeners).
 */
export function channelCredentials({
  address,
  credentials,
  plaintext,
}: Connection): ChannelCredentials {
  if (credentials !== undefined && credentials !== 'insecure') return tls(credentials);
  if (plaintext === true || isLocalTarget(address)) return ChannelCredentials.createInsecure();
  throw new TypeError(
    `${address} is not on loopback: pass credentials ({} trusts the system's), or plaintext: true`,
  );
}

/** Whether every address of a gRPC target is on this machine. What is not understood is not. */
export function isLocalTarget(target: string): boolean {
  if (/^unix:/.test(target)) return true;
  const [, scheme = '', rest = ''] =
    /^(?:(dns|ipv4|ipv6):)?(?:\/\/[^/]*\/)?(.+)$/.exec(target) ?? [];
  // Only the address schemes take lists; a comma in a host name is no host name.
  const hosts = scheme === 'ipv4' || scheme === 'ipv6' ? rest.split(',') : [rest];
  return hosts.every((host) => isLoopbackHost(host.replace(/:\d+$/, '')));
}

export function isLoopbackHost(host: string): boolean {
  return host === 'localhost' || host === '[::1]' || (isIPv4(host) && host.startsWith('127.'));
}

function tls({ ca, cert, key }: TlsCredentials): ChannelCredentials {
  if ((cert === undefined) !== (key === undefined)) {
    throw new TypeError('mutual TLS needs both cert and key');
  }
  return ChannelCredentials.createSsl(pem(ca), pem(key), pem(cert));
}

function pem(text: string | Buffer | undefined): Buffer | null {
  if (text === undefined) return null;
  return typeof text === 'string' ? Buffer.from(text) : text;
}
