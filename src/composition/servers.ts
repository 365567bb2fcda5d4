import type { Config, TlsFiles } from '../config/index.js';
import { listening, readTlsFiles } from '../config/index.js';
import type { Lifetime } from '../core/lifetime.js';
import type { Logger } from '../core/logger.js';
import {
  type AuthRpcs,
  accountRpcs,
  contactRpcs,
  type EdgeDeps,
  type Health,
  openGrpcServer,
  phoneSignInRpcs,
  readDescriptors,
  recoveryRpcs,
  registerAuthService,
  registerReflection,
  sessionRpcs,
  signInRpcs,
  signUpRpcs,
  verificationRpcs,
} from '../grpc/index.js';
import { openSideServer } from '../http/index.js';
import { CLOSE_MS } from './close-bounds.js';
import type { Slices } from './slices.js';
import type { Stores } from './stores.js';

export function rpcsOf(slices: Slices): AuthRpcs {
  return {
    ...signUpRpcs(slices),
    ...signInRpcs(slices),
    ...phoneSignInRpcs(slices),
    ...accountRpcs(slices),
    ...sessionRpcs(slices),
    ...verificationRpcs(slices),
    ...contactRpcs(slices),
    ...recoveryRpcs(slices),
  };
}

export function edgeOf(
  config: Config,
  { common, throttles, metrics }: Stores,
  slices: Slices,
): EdgeDeps {
  return {
    ...common,
    audit: slices.audit,
    callers: slices.callers,
    allowAnonymousCallers: config.anonymousCallers,
    verifyAccessToken: (token) => slices.accessTokens.verify(token),
    admit: (charges) => throttles.shared.tryConsume(charges),
    admitLocally: (charges) => throttles.local.tryConsume(charges),
    callTimeoutMs: config.callTimeoutMs,
    observer: metrics.edge,
  };
}

export async function listen(
  config: Config,
  log: Logger,
  parts: {
    rpcs: AuthRpcs;
    edge: EdgeDeps;
    jwks: () => string;
    health: Health;
    tls: TlsFiles | undefined;
    metrics: () => Promise<string>;
  },
  stack: Lifetime,
) {
  const descriptors = await readDescriptors();
  const { health, tls, jwks, metrics } = parts;
  stack.stage('HTTP', CLOSE_MS.http);
  const http = stack.use(
    await listening('HTTP_ADDRESS', hostPort(config.http), (address) =>
      openSideServer({ address, jwks, ready: () => health.serving, metrics }),
    ),
  );
  stack.stage('calls', config.drainNoticeMs + config.drainTimeoutMs + CLOSE_MS.calls);
  const grpc = stack.use(
    await listening('LISTEN_ADDRESS', hostPort(config.listen), (listenAddress) =>
      openGrpcServer({
        listenAddress,
        tls,
        readTls: () => readTlsFiles(config.tls),
        connections: config.connections,
        services: [registerAuthService(parts.rpcs, parts.edge), ...registerReflection(descriptors)],
        health,
        drainNoticeMs: config.drainNoticeMs,
        drainMs: config.drainTimeoutMs,
        callTimeoutMs: config.callTimeoutMs,
        log,
        observer: parts.edge.observer,
      }),
    ),
  );
  return {
    grpc: grpc.address,
    http: http.address,
    figures: {
      connections: () => grpc.connections,
      certificateEnds: () => grpc.certificateExpiresAt,
    },
  };
}

function hostPort({ host, port }: Config['listen']): string {
  return host.includes(':') ? `[${host}]:${port}` : `${host}:${port}`;
}
