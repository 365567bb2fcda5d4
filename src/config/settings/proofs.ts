import type { Setting } from './setting.js';

const PROMOTION = ['automatic', 'manual', 'off'] as const;

export const proofSettings = {
  MAIL_TRANSPORT: {
    kind: 'transport',
    default: 'console',
    since: '0.1.0',
    description:
      'How mail leaves. `console` prints it to standard output; `file:PATH` appends one JSON object a line with `channel`, `to`, `subject`, `text`, `html`, `locale` and `time`. Both are for development and for the end-to-end tests of other teams.',
  },
  SMS_TRANSPORT: {
    kind: 'transport',
    default: 'console',
    since: '0.1.0',
    description: 'How text messages leave; as `MAIL_TRANSPORT`. Both may name the same file.',
  },
  CODE_LENGTH: {
    kind: 'whole',
    default: '6',
    min: 4,
    max: 8,
    unit: 'digits',
    since: '0.1.0',
    description:
      'Digits of a one-time code. The promise that a stranger guesses into an account with a chance of at most 1 in 10,000 in 30 days is made for 6 and more; fewer need `ALLOW_SHORT_CODES`.',
  },
  CODE_TTL: {
    kind: 'duration',
    default: '5m',
    min: '1m',
    max: '10m',
    since: '0.1.0',
    description: 'How long a code can be used.',
  },
  RESEND_COOLDOWN: {
    kind: 'duration',
    default: '60s',
    min: '1s',
    max: '1h',
    since: '0.1.0',
    description: 'Least time between two codes in the same flow.',
  },
  MAX_FAILED_ATTEMPTS: {
    kind: 'whole',
    default: '5',
    min: 1,
    max: 20,
    since: '0.1.0',
    description:
      'Wrong codes, or wrong passwords, after which the account and the address are locked for `LOCKOUT_DURATION`. Asking for another code refills nothing. At most 50 wrong codes in 30 days are judged whatever is set here.',
  },
  LOCKOUT_DURATION: {
    kind: 'duration',
    default: '15m',
    min: '1s',
    max: '24h',
    since: '0.1.0',
    description:
      'How long a lock holds; for passwords the first one, later ones are longer. While locked, nothing of the ordinary kind is compared.',
  },
  PROMOTE_EMAIL: {
    kind: 'choice',
    default: 'automatic',
    values: PROMOTION,
    since: '0.1.0',
    description:
      'Whether a freshly proven email address becomes a way to sign in: `automatic` at once, `manual` when its owner asks, `off` never. One that was switched off by hand is never switched on by proving it again.',
  },
  PROMOTE_PHONE: {
    kind: 'choice',
    default: 'automatic',
    values: PROMOTION,
    since: '0.1.0',
    description: 'The same for a freshly proven phone number.',
  },
  PROOF_COLLISION: {
    kind: 'choice',
    default: 'refuse',
    values: ['refuse', 'contact'],
    since: '0.1.0',
    description:
      'What happens when somebody proves an address that another account holds: `refuse` answers `IDENTIFIER_TAKEN`; `contact` lets the proof succeed without the address becoming a way to sign in, for recovery and notices only.',
  },
  PHONE_SIGN_IN: {
    kind: 'choice',
    default: 'on',
    values: ['on', 'existing', 'off'],
    since: '0.1.0',
    description:
      'Signing in with a phone and a code: `on` makes an account for a number that nobody has proven; `existing` signs in to accounts that there are; `off` sends nothing. The answers are the same.',
  },
  RECOVERY_DELIVERY: {
    kind: 'choice',
    default: 'typed',
    values: ['typed', 'registered'],
    since: '0.1.0',
    description:
      'Where the code of a recovery goes: `typed` to the email or phone that was typed, if it is proven; `registered` to a proven channel of the account, which a username finds too, and the answer does not say which.',
  },
  RECOVERY_CHANNEL_ORDER: {
    kind: 'choice',
    default: 'sms,email',
    values: ['sms,email', 'email,sms', 'sms', 'email'],
    since: '0.1.0',
    description:
      'Which proven channel of an account a `registered` recovery takes first; one that is not named is not used. Decided anew at each send.',
  },
  DEFAULT_REGION: {
    kind: 'region',
    absent: 'national numbers are refused',
    since: '0.1.0',
    description:
      'Region by which a national phone number is read when a request names none: an ISO 3166-1 code such as `VN`.',
  },
  SMS_ALLOWED_REGIONS: {
    kind: 'regions',
    absent: 'all regions',
    since: '0.1.0',
    description:
      'Regions whose phone numbers are accepted, separated by commas: `VN,SG`. Numbers of no country are named by their calling code: `+883`. Premium-rate and shared-cost numbers are refused everywhere.',
  },
} as const satisfies Record<string, Setting>;
