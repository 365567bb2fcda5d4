import { flowSuite } from './anonymous-flow.js';

export const recovery = flowSuite({ name: 'recovery', title: 'The code steps of a recovery' }, [
  'Somebody who has forgotten the password types the number that is verified, waits for the code (in the file that',
  'messages are written to), and trades it for a reset token; one "call" is all of it, and each is made by another person.',
  'What the token is for, `ResetPassword`, is left out: one Argon2 hash is nearly all of it, as at the sign-in above.',
  'The ratio moves with the machine: on one with faster cores (AMD Zen 5) the same measurement had given 0.62.',
]);
