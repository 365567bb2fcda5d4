import type { Session as SessionMessage } from '../../generated/countersign/v1/session.js';
import { parsePageSize } from '../core/page.js';
import {
  type ListedSession,
  type ListSessionsDeps,
  listSessions,
  type RevokeSessionDeps,
  revokeSession,
  type SignOutEverywhereDeps,
  signOutEverywhere,
} from '../sign-in/index.js';
import { authRpc } from './auth-rpcs.js';
import { given, together, uuid } from './parse.js';

export type SessionRpcDeps = ListSessionsDeps & RevokeSessionDeps & SignOutEverywhereDeps;

export function sessionRpcs(deps: SessionRpcDeps) {
  return {
    listSessions: authRpc('listSessions', {
      parse: (request) =>
        together({
          pageSize: () => parsePageSize('page_size', request.pageSize),
          pageToken: () => given(request.pageToken),
        }),
      run: (input, call) => listSessions(deps, call, input),
      toResponse: ({ sessions, nextPageToken }) => ({
        sessions: sessions.map(toSessionMessage),
        nextPageToken: nextPageToken ?? '',
      }),
    }),
    revokeSession: authRpc('revokeSession', {
      parse: (request) => ({ sessionId: uuid('session_id', request.sessionId) }),
      run: (input, call) => revokeSession(deps, call, input),
      toResponse: () => ({}),
    }),
    signOutEverywhere: authRpc('signOutEverywhere', {
      parse: () => undefined,
      run: (_input, call) => signOutEverywhere(deps, call),
      toResponse: () => ({}),
    }),
  };
}

function toSessionMessage(session: ListedSession): SessionMessage {
  return {
    sessionId: session.sessionId,
    createTime: session.createdAt,
    lastUseTime: session.lastUsedAt,
    expireTime: session.expiresAt,
    caller: session.caller,
    clientAddress: session.client.address ?? '',
    clientUserAgent: session.client.userAgent ?? '',
    authenticationMethods: [...session.amr],
    current: session.current,
  };
}
