export type { Argon2, Argon2Parameters } from './argon2.js';
export { ARGON2_FLOOR, checkArgon2Floor } from './argon2.js';
export { isOverloaded, type PasswordReason } from './errors.js';
export type { HashLane, HashLaneDepth, HashLaneOptions, WorkContext } from './hash-lane.js';
export { createHashLane, hashConcurrency } from './hash-lane.js';
export type {
  PasswordHash,
  PasswordHasher,
  PasswordHasherDeps,
  PasswordVerdict,
} from './password-hasher.js';
export { createPasswordHasher } from './password-hasher.js';
export type { PasswordPolicy } from './password-policy.js';
export { parseNewPassword, parsePresentedPassword } from './password-policy.js';
