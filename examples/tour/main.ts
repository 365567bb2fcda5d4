import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  AccountStatus,
  Channel,
  createCountersignClient,
  createTokenVerifier,
  IdentifierType,
} from '../../src/client/index.js';
import { codesInFile } from '../clients/walk-through.js';
import { startServer } from './server.js';

const PASSWORD = 'correct horse battery staple';
const EMAIL = 'ada@example.com';
const PHONE = '+84912345678';
const NEW_PHONE = '+84987654321';
const NEW_PASSWORD = 'a brand new battery staple';

/** Of tokens and keys the beginning is enough to recognise them by. */
const LONG = 48;

/** Enums travel as numbers; people read names. */
const names: Readonly<Record<string, Readonly<Record<number, string>>>> = {
  type: IdentifierType,
  channel: Channel,
  status: AccountStatus,
};

function shown(key: string, item: unknown): unknown {
  if (typeof item === 'number') return names[key]?.[item] ?? item;
  return typeof item === 'string' && item.length > LONG ? `${item.slice(0, LONG)}…` : item;
}

function print(title: string, value?: unknown): void {
  process.stdout.write(`${title}\n`);
  if (value !== undefined)
    process.stdout.write(`${JSON.stringify(value, shown, 2).replaceAll(/^/gm, '    ')}\n`);
}

/** Shows the call, makes it, shows the answer. */
async function show<Request, Response>(
  step: string,
  rpc: (request: Request) => Promise<Response>,
  name: string,
  request: Request,
): Promise<Response> {
  print(`\n${step}`);
  print(`  → ${name}`, request);
  const response = await rpc(request);
  print('  ←', response);
  return response;
}

const folder = await mkdtemp(join(tmpdir(), 'countersign-tour-'));
const messages = join(folder, 'messages.jsonl');
print('Starting a server with a temporary embedded database …');
const server = await startServer(folder, messages);
const client = createCountersignClient({ address: server.address });
const codeFor = codesInFile(messages);

async function phoneSignIn(step: string, phoneNumber: string): Promise<void> {
  const { auth } = client;
  const { challenge } = await show(step, auth.requestPhoneSignIn, 'RequestPhoneSignIn', {
    phoneNumber,
  });
  await show('   by the code that arrived', auth.completePhoneSignIn, 'CompletePhoneSignIn', {
    challengeId: challenge?.challengeId ?? '',
    code: await codeFor(phoneNumber),
  });
}

try {
  const { auth } = client;
  print(`listening on ${server.address}`);

  const { account, challenges } = await show('1. Sign up', auth.signUp, 'SignUp', {
    username: 'ada',
    password: PASSWORD,
    email: EMAIL,
    phoneNumber: PHONE,
    displayName: 'Ada',
    organizationName: 'Analytical Engines',
  });
  const handle = (channel: Channel) =>
    challenges.find((challenge) => challenge.channel === channel)?.challengeId ?? '';

  await show(
    '2. Prove the phone by the code that arrived',
    auth.confirmPhoneNumber,
    'ConfirmPhoneNumber',
    {
      challengeId: handle(Channel.SMS),
      code: await codeFor(PHONE),
    },
  );
  await show('3. Prove the email', auth.confirmEmail, 'ConfirmEmail', {
    challengeId: handle(Channel.EMAIL),
    code: await codeFor(EMAIL),
  });
  await show('4. Sign in by phone and password', auth.signIn, 'SignIn', {
    identifier: PHONE,
    password: PASSWORD,
  });

  print('\nThe phone alone will do:');
  await phoneSignIn('5. Sign in by phone and code', PHONE);
  print('\nand a number that nobody has proven becomes an account by it:');
  await phoneSignIn('6. Somebody new signs in', NEW_PHONE);

  print('\nAda has forgotten her password. Nothing changes until the code is right:');
  const asked = await show(
    '7. Ask for a reset',
    auth.requestPasswordReset,
    'RequestPasswordReset',
    { identifier: EMAIL },
  );
  const { resetToken } = await show(
    '8. Trade the code for a reset token',
    auth.verifyPasswordResetCode,
    'VerifyPasswordResetCode',
    { challengeId: asked.challenge?.challengeId ?? '', code: await codeFor(EMAIL) },
  );
  await show('9. Set a new password; every session ends', auth.resetPassword, 'ResetPassword', {
    resetToken,
    newPassword: NEW_PASSWORD,
  });
  const { tokens } = await show('10. Sign in with it', auth.signIn, 'SignIn', {
    identifier: 'ada',
    password: NEW_PASSWORD,
  });

  print('\n11. Verify the access token in this process, with the server gone');
  const verifier = createTokenVerifier({
    jwksUrl: server.jwksUrl,
    issuer: 'countersign',
    audience: 'countersign',
  });
  await verifier.warmUp();
  await server[Symbol.asyncDispose]();
  const claims = await verifier.verify(tokens?.accessToken ?? '');
  print('  ←', claims);
  if (claims.accountId !== account?.accountId) throw new Error('the token is somebody else’s');
  print('\nDone. The server and its database are gone again; `npm start` keeps one.');
} finally {
  client.close();
  await server[Symbol.asyncDispose]();
  await rm(folder, { recursive: true, force: true });
}
