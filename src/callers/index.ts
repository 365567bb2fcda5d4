export {
  addCaller,
  addCallerKey,
  CallerAdministrationError,
  listCallers,
  type NewCaller,
  revokeCallerKey,
} from './administer-callers.js';
export { type Caller, type CallerRecord, type RpcGroup, rpcGroups } from './caller.js';
export {
  type CallerDirectory,
  type CallerDirectoryDeps,
  createCallerDirectory,
} from './caller-directory.js';
export { type CallerReason, callerNotAllowed, callerUnknown } from './errors.js';
