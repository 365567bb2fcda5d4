import type { AuthServiceService } from '../../generated/countersign/v1/auth_service.js';
import type { RpcGroup } from '../callers/index.js';

/** Whether an RPC acts for a signed-in person. `none`: an access token is not even looked at. */
export type PersonNeed = 'required' | 'optional' | 'none';

export type Secret = 'password' | 'code' | 'refresh token' | 'access token' | 'reset token';

/** The soft limits that the edge itself charges; a service's own come on top. */
export type CallLimiter = 'callsPerSource' | 'callsPerCaller';

export interface RpcPolicy {
  readonly person: PersonNeed;
  /** What a calling service must have been granted. */
  readonly group: RpcGroup;
  readonly limiters: readonly CallLimiter[];
  /**
   * Where calls are counted. `shared`: with the service's own charges, in one round trip. `local`: in
   * this process alone, for RPCs whose budget has no round trip to Redis (docs/architecture.md); their
   * hard limits are in PostgreSQL or in the secret's own strength.
   */
  readonly counted: 'shared' | 'local';
  /** What it takes that could be guessed or stolen (rule 7). */
  readonly secrets: readonly Secret[];
  /** Puts a code on its way (T1). */
  readonly sendsCode: boolean;
  /** Takes a username, an email or a phone from whoever calls (rule 8). */
  readonly takesIdentifier: boolean;
  /**
   * The change events that a success may leave in the audit, beside the access record of every call (T6).
   * None: it changes nothing that an audit tells of.
   */
  readonly changes: readonly string[];
}

const perSourceAndCaller = ['callsPerSource', 'callsPerCaller'] as const;

/**
 * What holds for each RPC before its handler runs, and what it leaves in the audit. Tests walk the
 * descriptors and exercise each row: an RPC without one does not compile, and one whose row is not true fails.
 */
export const authServicePolicies = {
  signUp: {
    person: 'none',
    group: 'sign-up',
    limiters: perSourceAndCaller,
    counted: 'shared',
    // A replay proves itself by the password.
    secrets: ['password'],
    sendsCode: true,
    takesIdentifier: true,
    changes: ['account_created', 'session_started'],
  },
  signIn: {
    person: 'none',
    group: 'sign-in',
    limiters: perSourceAndCaller,
    counted: 'shared',
    secrets: ['password'],
    sendsCode: false,
    takesIdentifier: true,
    changes: ['session_started'],
  },
  requestPhoneSignIn: {
    person: 'none',
    group: 'sign-in',
    limiters: perSourceAndCaller,
    counted: 'shared',
    secrets: [],
    sendsCode: true,
    takesIdentifier: true,
    changes: ['code_requested', 'code_sent'],
  },
  completePhoneSignIn: {
    person: 'none',
    group: 'sign-in',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: ['code'],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['session_started', 'account_created', 'identifier_proven'],
  },
  refreshSession: {
    person: 'none',
    group: 'session',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: ['refresh token'],
    sendsCode: false,
    takesIdentifier: false,
    changes: [],
  },
  signOut: {
    person: 'none',
    group: 'session',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: ['refresh token'],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['session_ended'],
  },
  signOutEverywhere: {
    person: 'required',
    group: 'session',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: [],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['sessions_revoked'],
  },
  listSessions: {
    person: 'required',
    group: 'session',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: [],
    sendsCode: false,
    takesIdentifier: false,
    changes: [],
  },
  revokeSession: {
    person: 'required',
    group: 'session',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: [],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['session_ended'],
  },
  getAccount: {
    person: 'required',
    group: 'account',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: [],
    sendsCode: false,
    takesIdentifier: false,
    changes: [],
  },
  updateProfile: {
    person: 'required',
    group: 'account',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: [],
    sendsCode: false,
    takesIdentifier: true,
    changes: ['profile_updated'],
  },
  updateSettings: {
    person: 'required',
    group: 'account',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: [],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['settings_updated'],
  },
  closeAccount: {
    person: 'required',
    group: 'account',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: [],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['account_closed'],
  },
  changePassword: {
    person: 'required',
    group: 'account',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: ['password'],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['password_changed'],
  },
  sendEmailVerificationCode: {
    person: 'required',
    group: 'verification',
    limiters: perSourceAndCaller,
    counted: 'shared',
    secrets: [],
    sendsCode: true,
    takesIdentifier: true,
    changes: ['code_sent'],
  },
  confirmEmail: {
    person: 'optional',
    group: 'verification',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: ['code'],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['identifier_proven', 'promotion_skipped', 'identifier_disputed'],
  },
  sendPhoneVerificationCode: {
    person: 'required',
    group: 'verification',
    limiters: perSourceAndCaller,
    counted: 'shared',
    secrets: [],
    sendsCode: true,
    takesIdentifier: true,
    changes: ['code_sent'],
  },
  confirmPhoneNumber: {
    person: 'optional',
    group: 'verification',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: ['code'],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['identifier_proven', 'promotion_skipped', 'identifier_disputed'],
  },
  resendEmailConfirmation: {
    person: 'none',
    group: 'verification',
    limiters: perSourceAndCaller,
    counted: 'shared',
    secrets: [],
    sendsCode: true,
    takesIdentifier: true,
    changes: ['code_requested', 'code_sent'],
  },
  setPhoneNumber: {
    person: 'required',
    group: 'account',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: [],
    sendsCode: false,
    takesIdentifier: true,
    changes: ['identifier_set'],
  },
  removePhoneNumber: {
    person: 'required',
    group: 'account',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: [],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['identifier_removed'],
  },
  removeEmail: {
    person: 'required',
    group: 'account',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: [],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['identifier_removed'],
  },
  setSignInEnabled: {
    person: 'required',
    group: 'account',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: [],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['sign_in_enabled', 'sign_in_disabled'],
  },
  requestPasswordReset: {
    person: 'none',
    group: 'recovery',
    limiters: perSourceAndCaller,
    counted: 'shared',
    secrets: [],
    sendsCode: true,
    takesIdentifier: true,
    changes: ['code_requested', 'code_sent'],
  },
  verifyPasswordResetCode: {
    person: 'none',
    group: 'recovery',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: ['code'],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['reset_code_redeemed'],
  },
  resetPassword: {
    person: 'none',
    group: 'recovery',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: ['reset token'],
    sendsCode: false,
    takesIdentifier: false,
    changes: ['password_reset'],
  },
  introspectToken: {
    person: 'none',
    group: 'introspection',
    // Backends ask for everybody from one address of their own.
    limiters: ['callsPerCaller'],
    counted: 'local',
    secrets: ['access token'],
    sendsCode: false,
    takesIdentifier: false,
    changes: [],
  },
  getJsonWebKeySet: {
    person: 'none',
    group: 'keys',
    limiters: perSourceAndCaller,
    counted: 'local',
    secrets: [],
    sendsCode: false,
    takesIdentifier: false,
    changes: [],
  },
} as const satisfies Readonly<Record<keyof typeof AuthServiceService, RpcPolicy>>;
