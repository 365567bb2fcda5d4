import { randomBytes } from 'node:crypto';
import type { SignUpResponse } from '../../generated/countersign/v1/auth_service.js';
import type { TestApp } from './test-app.js';

export const PASSWORD = 'correct horse battery staple';

/** Values that nobody else in the database has. */
export const unique = {
  username: () => `u${randomBytes(6).toString('hex')}`,
  email: () => `u${randomBytes(6).toString('hex')}@example.com`,
  /** A valid Vietnamese mobile number. */
  phone: () => `+8491${String(randomBytes(4).readUInt32BE() % 10_000_000).padStart(7, '0')}`,
};

export interface Signup {
  readonly username: string;
  readonly password: string;
  readonly response: SignUpResponse;
  readonly accountId: string;
  readonly accessToken: string;
  readonly refreshToken: string;
  /** By channel, of the claimed addresses. */
  readonly challengeIds: readonly string[];
}

/** Signs somebody up, with whatever fields the test cares about. */
export async function signUp(
  { auth }: Pick<TestApp, 'auth'>,
  fields: Partial<Parameters<TestApp['auth']['signUp']>[0]> = {},
): Promise<Signup> {
  const username = fields.username ?? unique.username();
  const password = fields.password ?? PASSWORD;
  const response = await auth.signUp({ ...fields, username, password });
  return {
    username,
    password,
    response,
    accountId: response.account?.accountId ?? '',
    accessToken: response.tokens?.accessToken ?? '',
    refreshToken: response.tokens?.refreshToken ?? '',
    challengeIds: response.challenges.map((challenge) => challenge.challengeId),
  };
}

/** A code of the usual length that is not this one. */
export function wrongCode(code: string): string {
  const last = Number(code.slice(-1));
  return `${code.slice(0, -1)}${(last + 1) % 10}`;
}
