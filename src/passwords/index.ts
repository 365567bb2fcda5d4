export type { Argon2, Argon2Parameters } from './argon2.js';
export { ARGON2_FLOOR, checkArgon2Floor } from './argon2.js';
export { startArgon2Threads } from './argon2-threads.js';
export { isOverloaded, type PasswordReason } from './errors.js';
export type {
  HashLane,
  HashLaneDepth,
  HashLaneObserver,
  HashLaneOptions,
  Place,
  WorkContext,
} from './hash-lane.js';
export { createHashLane } from './hash-lane.js';
export type {
  PasswordHash,
  PasswordHasher,
  PasswordHasherDeps,
  PasswordVerdict,
} from './password-hasher.js';
export { createPasswordHasher } from './password-hasher.js';
export type { PasswordPolicy } from './password-policy.js';
export { parseNewPassword, parsePresentedPassword } from './password-policy.js';
