export { type SignedUp, type SignUpDeps, type SignUpInput, signUp } from './sign-up.js';
