import { type ResolveConfirmationDeps, resolveConfirmation } from '../accounts/index.js';
import type { RequestKind, ResolveRequest } from '../delivery/index.js';
import { type ResolveResetDeps, resolveReset } from '../recovery/index.js';
import { type ResolvePhoneSignInDeps, resolvePhoneSignIn } from '../sign-in/index.js';

/** One resolver for each kind of anonymous request: a use-case of its flow's slice. */
export function createResolver(
  deps: ResolveConfirmationDeps & ResolveResetDeps & ResolvePhoneSignInDeps,
): ResolveRequest {
  const resolvers: Record<RequestKind, ResolveRequest> = {
    sign_in_request: (request, signal) => resolvePhoneSignIn(deps, request, signal),
    reset_request: (request, signal) => resolveReset(deps, request, signal),
    confirmation_request: (request, signal) => resolveConfirmation(deps, request, signal),
  };
  return (request, signal) => resolvers[request.kind](request, signal);
}
