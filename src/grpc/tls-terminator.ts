import { constants, X509Certificate } from 'node:crypto';
import type { Socket } from 'node:net';
import { createServer, type SecureContextOptions, type TLSSocket } from 'node:tls';
import { certificateNamesIn } from '../callers/index.js';
import type { Logger } from '../core/logger.js';

/** PEM, as read from the files of the configuration. */
export interface TlsMaterial {
  readonly certificate: Buffer;
  readonly key: Buffer;
  /** With it, clients are asked for a certificate, which one of these must have issued. */
  readonly clientCa?: Buffer | undefined;
}

export interface TlsTerminator {
  /** Takes a connection that has sent nothing yet. */
  accept(socket: Socket): void;
  /** For connections from now on; those there are keep what they have. Throws where it is unfit. */
  use(material: TlsMaterial): void;
  /** The end of the certificate that new connections are shown. */
  readonly expiresAt: Date;
}

export interface TlsTerminatorOptions {
  readonly material: TlsMaterial;
  readonly handshakeMs: number;
  readonly log: Logger;
  /** Speaks HTTP/2, and has shown either no certificate or a good one. */
  onSecure(socket: TLSSocket): void;
}

const NAMES = Symbol('names of the client certificate');

/**
 * TLS in front of the gRPC library, which has no way to ask for a certificate without insisting, and
 * would judge one by itself. Whoever shows a certificate that does not hold is ended: a key beside it
 * must not make up for it.
 */
export function terminateTls(options: TlsTerminatorOptions): TlsTerminator {
  const { handshakeMs, log } = options;
  let { material } = options;
  const server = createServer({
    ...contextOf(material),
    ALPNProtocols: ['h2'],
    requestCert: material.clientCa !== undefined,
    rejectUnauthorized: false,
    handshakeTimeout: handshakeMs,
  });
  server.on('secureConnection', (socket) => {
    socket.on('error', () => undefined);
    const shown = socket.getPeerX509Certificate();
    if (socket.alpnProtocol !== 'h2') {
      socket.destroy();
    } else if (shown !== undefined && !socket.authorized) {
      log.info({ reason: String(socket.authorizationError) }, 'a client certificate was refused');
      socket.destroy();
    } else {
      if (shown !== undefined) keepNames(socket, shown);
      options.onSecure(socket);
    }
  });
  return {
    accept: (socket) => void server.emit('connection', socket),
    use: (next) => {
      server.setSecureContext(contextOf(next));
      material = next;
    },
    get expiresAt() {
      return new Date(new X509Certificate(material.certificate).validTo);
    },
  };
}

/** Names that a client's certificate gave it, which one of our authorities has vouched for. */
export function certificateNamesOf(shown: object | undefined): readonly string[] {
  return shown !== undefined && NAMES in shown ? (shown[NAMES] as readonly string[]) : [];
}

/**
 * What the gRPC library asks for at every call is read once for each connection, and carries the names
 * along: they are found by the certificate itself and by nothing that two connections could share.
 */
function keepNames(socket: TLSSocket, certificate: X509Certificate): void {
  const shown = {
    ...socket.getPeerCertificate(),
    [NAMES]: certificateNamesIn(certificate.subjectAltName),
  };
  Object.defineProperty(socket, 'getPeerCertificate', { value: () => shown });
}

function contextOf({ certificate, key, clientCa }: TlsMaterial): SecureContextOptions {
  return {
    cert: certificate,
    key,
    minVersion: 'TLSv1.2',
    // Every handshake is a whole one: a session that is resumed brings along what was once thought of the
    // client's certificate, which may have expired or belong to an authority that was removed since.
    secureOptions: constants.SSL_OP_NO_TICKET,
    // An issuing authority may be trusted without the root above it.
    ...(clientCa === undefined ? {} : { ca: clientCa, allowPartialTrustChain: true }),
  };
}
