import { parseScope } from '../organizations/index.js';
import { parsePresentedPassword } from '../passwords/index.js';
import type { SigningKeys } from '../sessions/index.js';
import {
  type IntrospectTokenDeps,
  introspectToken,
  type RefreshSessionDeps,
  refreshSession,
  type SignInDeps,
  type SignOutDeps,
  signIn,
  signOut,
} from '../sign-in/index.js';
import { rememberSource, sourceCharges, type Throttle } from '../throttling/index.js';
import { authRpc } from './auth-rpcs.js';
import { given, required, together } from './parse.js';
import { toIntrospection, toTokenSetMessage } from './token-mapper.js';

export type SignInRpcDeps = SignInDeps &
  RefreshSessionDeps &
  SignOutDeps &
  IntrospectTokenDeps & {
    readonly signingKeys: Pick<SigningKeys, 'jwks'>;
    readonly throttle: Pick<Throttle, 'remember'>;
  };

/** Ours has about 120 characters; a longer text is some other token and not a field gone wrong. */
const MAX_REFRESH_TOKEN = 4_096;

export function signInRpcs(deps: SignInRpcDeps) {
  return {
    signIn: authRpc('signIn', {
      parse: (request) =>
        together({
          // Never refused by its shape: whatever it is, the same work and the same answer.
          identifier: () => request.identifier,
          password: () => parsePresentedPassword('password', request.password),
          scope: () => parseScope('scope', request.scope),
          region: () => given(request.region),
        }),
      refuses: (leftMs) => deps.hasher.refuses(leftMs),
      admit: (call) => deps.hasher.admit(call),
      charges: (_input, call) => sourceCharges('signInsPerSource', call),
      run: async (input, call) => {
        const done = await signIn(deps, call, input);
        call.attribute(done.accountId);
        if (done.address !== undefined) rememberSource(deps.throttle, done.address, call);
        return done;
      },
      toResponse: ({ accountId, tokens }) => ({ accountId, tokens: toTokenSetMessage(tokens) }),
    }),
    refreshSession: authRpc('refreshSession', {
      parse: (request) =>
        together({
          refreshToken: () => required('refresh_token', request.refreshToken, MAX_REFRESH_TOKEN),
          scope: () => parseScope('scope', request.scope),
        }),
      run: (input, call) => refreshSession(deps, call, input),
      toResponse: (tokens) => ({ tokens: toTokenSetMessage(tokens) }),
    }),
    signOut: authRpc('signOut', {
      parse: (request) => ({
        refreshToken: required('refresh_token', request.refreshToken, MAX_REFRESH_TOKEN),
      }),
      run: (input, call) => signOut(deps, call, input),
      toResponse: () => ({}),
    }),
    introspectToken: authRpc('introspectToken', {
      // Whatever it is: what is no token is inactive.
      parse: (request) => ({ accessToken: request.accessToken }),
      run: (input) => introspectToken(deps, input),
      toResponse: (answer) => toIntrospection(answer.active ? answer.claims : undefined),
    }),
    getJsonWebKeySet: authRpc('getJsonWebKeySet', {
      parse: () => undefined,
      run: async () => deps.signingKeys.jwks(),
      toResponse: (jwksJson) => ({ jwksJson }),
    }),
  };
}
