import type { BinaryReader } from '@bufbuild/protobuf/wire';
import type { ServiceDefinition, UntypedServiceImplementation } from '@grpc/grpc-js';
import { AuthServiceService } from '../../generated/countersign/v1/auth_service.js';
import type { Door } from './door.js';
import { authServicePolicies } from './rpc-policies.js';
import { type EdgeDeps, type Rpc, unary } from './unary.js';

type Methods = typeof AuthServiceService;
export type AuthMethod = keyof Methods;
type Need<M extends AuthMethod> = (typeof authServicePolicies)[M]['person'];
type RequestOf<M extends AuthMethod> = ReturnType<Methods[M]['requestDeserialize']>;
type ResponseOf<M extends AuthMethod> = ReturnType<Methods[M]['responseDeserialize']>;

/** Every RPC of AuthService: one that is forgotten does not compile. */
export type AuthRpcs = {
  readonly [M in AuthMethod]: Rpc<Need<M>, RequestOf<M>, ResponseOf<M>>;
};

/**
 * Writes down one RPC of AuthService. The name gives request, response and what the policy promises of
 * the call (a person, or none); input and output are inferred from the steps themselves.
 */
export function authRpc<M extends AuthMethod, Input, Output>(
  _method: M,
  rpc: Rpc<Need<M>, RequestOf<M>, ResponseOf<M>, Input, Output>,
): Rpc<Need<M>, RequestOf<M>, ResponseOf<M>, Input, Output> {
  return rpc;
}

/** A service as `openGrpcServer` takes it. */
export interface ServiceRegistration {
  readonly definition: ServiceDefinition;
  readonly implementation: UntypedServiceImplementation;
  /** By method: RPCs that refuse calls on their headers. */
  readonly doors?: ReadonlyMap<string, Door>;
}

/** Puts every RPC of AuthService behind the adapter. */
export function registerAuthService(rpcs: AuthRpcs, deps: EdgeDeps): ServiceRegistration {
  const definition: Record<string, ServiceDefinition[string]> = {};
  const implementation: UntypedServiceImplementation = {};
  const doors = new Map<string, Door>();
  const register = <M extends AuthMethod>(name: M): void => {
    const method = AuthServiceService[name];
    const { refuses } = rpcs[name];
    if (refuses !== undefined) doors.set(method.path.slice(1), refuses);
    // The adapter reads the request itself: grpc-js would answer a malformed one with INTERNAL.
    definition[name] = { ...method, requestDeserialize: (bytes: Buffer) => bytes };
    implementation[name] = unary(
      {
        method: method.path.slice(1),
        policy: authServicePolicies[name],
        // The generated decoder takes a reader as well as bytes; `decode` makes a strict one.
        read: method.requestDeserialize as unknown as (input: BinaryReader) => RequestOf<M>,
        rpc: rpcs[name],
      },
      deps,
    );
  };
  for (const name of Object.keys(AuthServiceService) as AuthMethod[]) register(name);
  return { definition, implementation, doors };
}
