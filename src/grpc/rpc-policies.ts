import type { AuthServiceService } from '../../generated/countersign/v1/auth_service.js';
import type { RpcGroup } from '../callers/index.js';

/** Whether an RPC acts for a signed-in person. `none`: an access token is not even looked at. */
export type PersonNeed = 'required' | 'optional' | 'none';

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
  /** Takes a password, a code or a token that could be guessed or stolen (rule 7). */
  readonly consumesSecret: boolean;
  /** Puts a code on its way (T1). */
  readonly sendsCode: boolean;
  /** Takes a username, an email or a phone from whoever calls (rule 8). */
  readonly takesIdentifier: boolean;
}

const perSourceAndCaller = ['callsPerSource', 'callsPerCaller'] as const;

/**
 * What holds for each RPC before its handler runs. A test walks the descriptors: an RPC without a row
 * here does not compile, and one that takes a secret without limits fails.
 */
export const authServicePolicies = {
  signUp: {
    person: 'none',
    group: 'sign-up',
    limiters: perSourceAndCaller,
    counted: 'shared',
    // A replay proves itself by the password.
    consumesSecret: true,
    sendsCode: true,
    takesIdentifier: true,
  },
  signIn: {
    person: 'none',
    group: 'sign-in',
    limiters: perSourceAndCaller,
    counted: 'shared',
    consumesSecret: true,
    sendsCode: false,
    takesIdentifier: true,
  },
  refreshSession: {
    person: 'none',
    group: 'session',
    limiters: perSourceAndCaller,
    counted: 'local',
    consumesSecret: true,
    sendsCode: false,
    takesIdentifier: false,
  },
  signOut: {
    person: 'none',
    group: 'session',
    limiters: perSourceAndCaller,
    counted: 'local',
    consumesSecret: true,
    sendsCode: false,
    takesIdentifier: false,
  },
  getAccount: {
    person: 'required',
    group: 'account',
    limiters: perSourceAndCaller,
    counted: 'local',
    consumesSecret: false,
    sendsCode: false,
    takesIdentifier: false,
  },
  sendEmailVerificationCode: {
    person: 'required',
    group: 'verification',
    limiters: perSourceAndCaller,
    counted: 'shared',
    consumesSecret: false,
    sendsCode: true,
    takesIdentifier: true,
  },
  confirmEmail: {
    person: 'optional',
    group: 'verification',
    limiters: perSourceAndCaller,
    counted: 'local',
    consumesSecret: true,
    sendsCode: false,
    takesIdentifier: false,
  },
  sendPhoneVerificationCode: {
    person: 'required',
    group: 'verification',
    limiters: perSourceAndCaller,
    counted: 'shared',
    consumesSecret: false,
    sendsCode: true,
    takesIdentifier: true,
  },
  confirmPhoneNumber: {
    person: 'optional',
    group: 'verification',
    limiters: perSourceAndCaller,
    counted: 'local',
    consumesSecret: true,
    sendsCode: false,
    takesIdentifier: false,
  },
  introspectToken: {
    person: 'none',
    group: 'introspection',
    // Backends ask for everybody from one address of their own.
    limiters: ['callsPerCaller'],
    counted: 'local',
    consumesSecret: true,
    sendsCode: false,
    takesIdentifier: false,
  },
  getJsonWebKeySet: {
    person: 'none',
    group: 'keys',
    limiters: perSourceAndCaller,
    counted: 'local',
    consumesSecret: false,
    sendsCode: false,
    takesIdentifier: false,
  },
} as const satisfies Readonly<Record<keyof typeof AuthServiceService, RpcPolicy>>;
