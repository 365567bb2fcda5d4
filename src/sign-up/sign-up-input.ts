import type { Locale } from '../core/contact.js';

/** Everything in canonical form. */
export interface SignUpInput {
  readonly username: string;
  /** As `parseNewPassword` gives it. */
  readonly password: string;
  readonly email: string | undefined;
  readonly phone: string | undefined;
  readonly displayName: string | undefined;
  readonly locale: Locale | undefined;
  readonly organizationName: string | undefined;
  readonly requestId: string | undefined;
}
