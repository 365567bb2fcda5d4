import { errors, type JWTHeaderParameters, type JWTVerifyOptions, jwtVerify } from 'jose';
import { createKeyCache, type KeyCache } from './key-cache.js';
import { parseKeySet, type TokenAlgorithm } from './key-set.js';
import { type KeySource, keySetFetcher } from './key-source.js';
import { type AccessTokenClaims, parseClaims } from './token-claims.js';
import {
  KeysUnavailableError,
  TokenInvalidError,
  type TokenInvalidReason,
} from './token-errors.js';

export type TokenVerifierOptions = KeySource & {
  /** The server's `TOKEN_ISSUER`. */
  readonly issuer: string;
  /** The server's `TOKEN_AUDIENCE`. */
  readonly audience: string;
  /** Fixed here, never by the token's header; `['EdDSA']` by default. */
  readonly algorithms?: readonly TokenAlgorithm[] | undefined;
  /** How far the two clocks may differ; 5 by default. */
  readonly clockToleranceSeconds?: number | undefined;
  /** At most one fetch in this time for unknown `kid`s; 30 by default. */
  readonly refetchIntervalSeconds?: number | undefined;
  /** Age at which the key set is fetched again; 600 by default. */
  readonly maxAgeSeconds?: number | undefined;
  /** Age up to which it is used while it cannot be fetched; 86,400 by default. */
  readonly maxStaleSeconds?: number | undefined;
  /** A set with more keys is not ours; 32 by default. */
  readonly maxKeys?: number | undefined;
  readonly now?: (() => Date) | undefined;
};

export interface TokenVerifier {
  /**
   * Verifies an access token offline (A6): signature, algorithm, type, issuer, audience, expiry and
   * the shape of the claims. Throws `TokenInvalidError`, or `KeysUnavailableError` where no key set
   * can be had. A session that was ended stays good here until its token expires: ask
   * `IntrospectToken` where minutes matter.
   */
  verify(token: string): Promise<AccessTokenClaims>;
  /** Fetches the key set ahead of the first token; throws `KeysUnavailableError`. */
  warmUp(): Promise<void>;
}

const MAX_TOKEN_LENGTH = 8 * 1024;
// Base64url alone: decoders forgive blanks and other alphabets, and one token has one spelling.
const COMPACT = /^[\w-]+\.[\w-]+\.[\w-]+$/;
const TOKEN_TYPE = 'at+jwt';
// Headers that bring a key of the token's own, or change what the rest means. Never followed, never
// good.
const REFUSED_HEADERS = [
  'jwk',
  'jku',
  'x5u',
  'x5c',
  'x5t',
  'x5t#S256',
  'crit',
  'b64',
  'zip',
] as const;
// `kid` is an RFC 7638 thumbprint; what looks otherwise does not even cost a fetch.
const KEY_ID = /^[A-Za-z0-9_-]{1,128}$/;

/** One per process: it holds the keys. */
export function createTokenVerifier(options: TokenVerifierOptions): TokenVerifier {
  const { issuer, audience, algorithms = ['EdDSA'] } = options;
  // Without them jose would not look, and any service's token would do.
  if (issuer === '' || audience === '') throw new TypeError('issuer and audience must be named');
  if (algorithms.length === 0) throw new TypeError('algorithms must name one');
  const now = options.now ?? (() => new Date());
  const cache = keyCacheOf(options, algorithms, now);
  const rules: JWTVerifyOptions = {
    issuer,
    audience,
    algorithms: [...algorithms],
    typ: TOKEN_TYPE,
    clockTolerance: options.clockToleranceSeconds ?? 5,
    requiredClaims: ['exp', 'iat', 'sub', 'sid', 'jti', 'auth_time'],
  };
  const keyFor = async (header: JWTHeaderParameters) => {
    const { kid } = checkHeader(header);
    const found = await cache.find(kid);
    if (found.algorithm !== header.alg) throw new TokenInvalidError('ALGORITHM_NOT_ALLOWED');
    return found.key;
  };
  const verify = async (token: string): Promise<AccessTokenClaims> => {
    if (typeof token !== 'string') throw new TokenInvalidError('MALFORMED');
    if (token.length > MAX_TOKEN_LENGTH) throw new TokenInvalidError('TOO_LONG');
    if (!COMPACT.test(token)) throw new TokenInvalidError('MALFORMED');
    try {
      const { payload } = await jwtVerify(token, keyFor, { ...rules, currentDate: now() });
      return parseClaims(payload);
    } catch (error) {
      throw asRefusal(error);
    }
  };
  return { verify, warmUp: () => cache.warmUp() };
}

function keyCacheOf(
  options: TokenVerifierOptions,
  algorithms: readonly TokenAlgorithm[],
  now: () => Date,
): KeyCache {
  const fetchKeySet = keySetFetcher(options);
  const maxKeys = options.maxKeys ?? 32;
  return createKeyCache({
    load: async () => parseKeySet(await fetchKeySet(), algorithms, maxKeys),
    now,
    refetchIntervalMs: (options.refetchIntervalSeconds ?? 30) * 1_000,
    maxAgeMs: (options.maxAgeSeconds ?? 600) * 1_000,
    maxStaleMs: (options.maxStaleSeconds ?? 86_400) * 1_000,
  });
}

/** Judged before any key is looked for, so that another kind of token never causes a fetch. */
function checkHeader(header: JWTHeaderParameters): { readonly kid: string } {
  if (header.typ?.toLowerCase() !== TOKEN_TYPE) throw new TokenInvalidError('TYPE_NOT_ALLOWED');
  if (REFUSED_HEADERS.some((name) => Object.hasOwn(header, name)))
    throw new TokenInvalidError('MALFORMED');
  const { kid } = header;
  if (typeof kid !== 'string' || !KEY_ID.test(kid)) throw new TokenInvalidError('KEY_UNKNOWN');
  return { kid };
}

const CLAIM_REASONS: ReadonlyMap<string, TokenInvalidReason> = new Map([
  ['iss', 'ISSUER_INVALID'],
  ['aud', 'AUDIENCE_INVALID'],
  ['nbf', 'NOT_YET_VALID'],
  ['typ', 'TYPE_NOT_ALLOWED'],
]);

/**
 * Everything that is thrown while verifying is a refusal; only missing keys are not the token's
 * fault.
 */
function asRefusal(error: unknown): TokenInvalidError | KeysUnavailableError {
  if (error instanceof TokenInvalidError || error instanceof KeysUnavailableError) return error;
  return new TokenInvalidError(reasonOf(error));
}

function reasonOf(error: unknown): TokenInvalidReason {
  if (error instanceof errors.JWTExpired) return 'EXPIRED';
  if (error instanceof errors.JWTClaimValidationFailed)
    return CLAIM_REASONS.get(error.claim) ?? 'CLAIMS_INVALID';
  if (error instanceof errors.JOSEAlgNotAllowed) return 'ALGORITHM_NOT_ALLOWED';
  if (error instanceof errors.JWSSignatureVerificationFailed) return 'SIGNATURE_INVALID';
  return 'MALFORMED';
}
