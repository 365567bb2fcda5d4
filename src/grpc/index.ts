export { type AccountRpcDeps, accountRpcs } from './account-rpcs.js';
export {
  type AuthMethod,
  type AuthRpcs,
  authRpc,
  registerAuthService,
  type ServiceRegistration,
} from './auth-rpcs.js';
export type { CallFor, RpcCall } from './call-context.js';
export type { EdgeObserver, RpcObserver } from './call-observer.js';
export { type ContactRpcDeps, contactRpcs } from './contact-rpcs.js';
export { type Descriptors, readDescriptors } from './descriptors.js';
export { createHealth, type Health } from './health.js';
export { type PhoneSignInRpcDeps, phoneSignInRpcs } from './phone-sign-in-rpcs.js';
export { type RecoveryRpcDeps, recoveryRpcs } from './recovery-rpcs.js';
export { registerReflection } from './reflection.js';
export {
  type GrpcServer,
  type GrpcServerOptions,
  openGrpcServer,
} from './server.js';
export { type SessionRpcDeps, sessionRpcs } from './session-rpcs.js';
export { type SignInRpcDeps, signInRpcs } from './sign-in-rpcs.js';
export { type SignUpRpcDeps, signUpRpcs } from './sign-up-rpcs.js';
export type { TlsMaterial } from './tls-terminator.js';
export type { EdgeDeps, Rpc } from './unary.js';
export { type VerificationRpcDeps, verificationRpcs } from './verification-rpcs.js';
