import { randomUUID } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
// In a service of your own: from 'countersign/client'.
import {
  type Challenge,
  Channel,
  createCountersignClient,
  createTokenVerifier,
  describeError,
  hasRole,
  httpHeadersOf,
  httpStatusOf,
  isReason,
} from '../../src/client/index.js';

export interface WalkThrough {
  /** Countersign's gRPC address. */
  readonly address: string;
  /** Where its public keys are: http://…/.well-known/jwks.json. */
  readonly jwksUrl: string;
  /** Its `TOKEN_ISSUER` and `TOKEN_AUDIENCE`. */
  readonly issuer: string;
  readonly audience: string;
  /** The key of the service that calls, where the server asks for one. */
  readonly callerKey?: string | undefined;
  /** Waits for the code that was sent to an address: here from a file, in life from the person. */
  readonly readCode: (to: string) => Promise<string>;
  readonly print: (line: string) => void;
}

export async function walkThrough(options: WalkThrough): Promise<void> {
  const { address, callerKey, jwksUrl, issuer, audience, readCode, print } = options;
  // Both are made once per process, and closed or dropped with it.
  const client = createCountersignClient({ address, callerKey, deadlineMs: 10_000 });
  const verifier = createTokenVerifier({ jwksUrl, issuer, audience });
  try {
    const { auth } = client;
    // What a BFF knows of the person's request, sent with every call made for that person.
    const person = { clientAddress: '203.0.113.7', acceptLanguage: 'vi' };

    // 1. Sign up. The codes for both addresses are on their way when this returns.
    const name = `an${randomUUID().replaceAll('-', '').slice(0, 12)}`;
    const email = `${name}@example.com`;
    const phoneNumber = `+8490${String(Math.floor(Math.random() * 1e7)).padStart(7, '0')}`;
    const password = `pass-${randomUUID()}`;
    const requestId = randomUUID(); // the same one again makes a retry safe
    const signedUp = await auth.signUp(
      { username: name, password, email, phoneNumber, displayName: 'An', requestId },
      person,
    );
    print(`signed up: ${signedUp.account?.accountId}, ${signedUp.challenges.length} codes sent`);

    // 2. Confirm what was claimed: the challenge from the answer, and the code from the message.
    const accessToken = signedUp.tokens?.accessToken;
    const codeFor = (challenge: Challenge) =>
      readCode(challenge.channel === Channel.EMAIL ? email : phoneNumber);
    for (const challenge of signedUp.challenges) {
      const proof = { challengeId: challenge.challengeId, code: await codeFor(challenge) };
      const confirm =
        challenge.channel === Channel.EMAIL ? auth.confirmEmail : auth.confirmPhoneNumber;
      const { identifier } = await confirm(proof, { ...person, accessToken });
      print(`confirmed: ${identifier?.value} (verified: ${identifier?.verified})`);
    }

    // 3. Sign in, with the phone this time.
    const { tokens } = await auth.signIn({ identifier: phoneNumber, password }, person);
    print(`signed in by phone: ${tokens?.tokenType} token for ${tokens?.expiresIn} s`);

    // 4. Verify the token. Any service does this by itself, without asking Countersign.
    const claims = await verifier.verify(tokens?.accessToken ?? '');
    const organizationId = claims.organizationId ?? '';
    print(`verified offline: account ${claims.accountId} acts in ${organizationId}`);
    print(`an owner there: ${hasRole(claims, 'owner', { organizationId })}`);

    // 5. Failures are typed. `reason` says what to do; the rest is what a BFF answers its browser.
    try {
      await auth.signIn({ identifier: phoneNumber, password: 'not the password' }, person);
    } catch (error) {
      if (!isReason(error, 'CREDENTIALS_INVALID')) throw error;
      print(`HTTP ${httpStatusOf(error)} ${JSON.stringify(httpHeadersOf(error))}`);
      print(`en: ${describeError(error, 'en')}`);
      print(`vi: ${describeError(error, 'vi')}`);
    }
  } finally {
    client.close();
  }
}

/** A code of the usual length, or a long one; times and addresses of notices are neither. */
const CODE = /(?<!\d)(?:\d{6}|\d{20})(?!\d)/;

/**
 * Reads codes from the file that `MAIL_TRANSPORT=file:PATH` and `SMS_TRANSPORT=file:PATH` append
 * to: the latest one to an address, and each only once.
 */
export function codesInFile(path: string): (to: string) => Promise<string> {
  const used = new Map<string, number>();
  return async (to) => {
    for (let tries = 0; tries < 100; tries += 1) {
      const lines = await readFile(path, 'utf8').catch(() => '');
      const codes = lines
        .split('\n')
        .filter((line) => line.endsWith('}'))
        .map((line) => JSON.parse(line))
        .filter((message) => message.to === to)
        .flatMap((message) => CODE.exec(message.text)?.[0] ?? []);
      const latest = codes.at(-1);
      if (latest !== undefined && codes.length > (used.get(to) ?? 0)) {
        used.set(to, codes.length);
        return latest;
      }
      await sleep(100);
    }
    throw new Error(`no code for ${to} in ${path}`);
  };
}

const [, script = '', address, jwksUrl, issuer, audience, file, callerKey] = process.argv;
if (import.meta.url === pathToFileURL(script).href) {
  if (!address || !jwksUrl || !issuer || !audience || !file) {
    throw new Error(
      'usage: walk-through ADDRESS JWKS_URL ISSUER AUDIENCE MESSAGE_FILE [CALLER_KEY]',
    );
  }
  const print = (line: string) => process.stdout.write(`${line}\n`);
  await walkThrough({
    address,
    jwksUrl,
    issuer,
    audience,
    callerKey,
    readCode: codesInFile(file),
    print,
  });
}
