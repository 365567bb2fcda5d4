export {
  addCaller,
  addCallerCertificates,
  addCallerKey,
  addKeylessCaller,
  CallerAdministrationError,
  type CertificateChange,
  listCallers,
  type NewCaller,
  removeCallerCertificates,
  revokeCallerKey,
} from './administer-callers.js';
export { type Caller, type CallerRecord, type RpcGroup, rpcGroups } from './caller.js';
export {
  type CallerDirectory,
  type CallerDirectoryDeps,
  createCallerDirectory,
} from './caller-directory.js';
export { certificateNamesIn } from './certificate-name.js';
export { type CallerReason, callerNotAllowed, callerUnknown } from './errors.js';
