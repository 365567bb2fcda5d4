import { flowSuite } from './anonymous-flow.js';

export const phoneSignIn = flowSuite({ name: 'phone-sign-in', title: 'Signing in by phone' }, [
  'Somebody whose number is verified and signs in asks for a code, waits for it (in the file that messages are written',
  'to), and signs in with it; one "call" is all of it, and each is made by another person. A session begins, and both',
  'sides sign its access token.',
]);
