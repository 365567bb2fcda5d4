/** Whether a number signs in by code alone (P6): `existing` makes no new accounts, `off` sends nothing. */
export type PhoneSignInMode = 'on' | 'existing' | 'off';
