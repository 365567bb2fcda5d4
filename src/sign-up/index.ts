export { type SignedUp, type SignUpDeps, signUp } from './sign-up.js';
export type { SignUpInput } from './sign-up-input.js';
