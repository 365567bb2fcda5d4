import { generateKeyPairSync, randomBytes, randomUUID } from 'node:crypto';
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Metadata, type UntypedServiceImplementation } from '@grpc/grpc-js';
import { afterAll, afterEach, beforeAll, describe, expect, it, vi } from 'vitest';
import { type FloorModule, openContext, sha256, signAccessToken } from '../bench/floors/floor.js';
import * as introspection from '../bench/floors/introspection.js';
import * as phoneCode from '../bench/floors/phone-code.js';
import * as phoneCodeAsSent from '../bench/floors/phone-code-as-sent.js';
import * as phoneSignInAsSent from '../bench/floors/phone-sign-in-as-sent.js';
import * as recoveryAsSent from '../bench/floors/recovery-as-sent.js';
import * as refresh from '../bench/floors/refresh.js';
import * as refreshAsSent from '../bench/floors/refresh-as-sent.js';
import * as signIn from '../bench/floors/sign-in.js';
import { hashPassword, PASSWORD } from '../bench/support/password.js';
import { proveNumbers, seedPeople } from '../bench/support/people.js';
import { makeProductSchema } from '../bench/support/product-schema.js';
import { temporaryFolder } from '../bench/support/program.js';
import { chargesOf } from '../bench/support/record-charges.js';
import { recordTemplates } from '../bench/support/record-templates.js';
import { createDatabase, redisKeys } from '../bench/support/services.js';
import { templateOf } from '../bench/support/template-of.js';
import { eventually } from './resilience/eventually.js';
import { codeIn, filedMessages } from './support/filed-messages.js';

/** Calls a handler as grpc-js does, with a message that has been read. */
function call<Answer = unknown>(
  handlers: UntypedServiceImplementation,
  name: string,
  request: object,
  metadata = new Metadata(),
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const handler = handlers[name] as (
      call: object,
      respond: (error: unknown, response: Answer) => void,
    ) => void;
    handler({ request, metadata }, (error, response) =>
      error === null ? resolve(response) : reject(error),
    );
  });
}

/** A floor in this process, on a database of its own. */
async function withFloor(
  floor: FloorModule,
  test: (
    handlers: UntypedServiceImplementation,
    parts: {
      query: (text: string, values: unknown[]) => Promise<{ rows: unknown[] }>;
      messageFile: string;
      databaseUrl: string;
    },
  ) => Promise<void>,
  templates = '',
): Promise<void> {
  using folder = temporaryFolder();
  await using database = await createDatabase();
  await using redis = redisKeys();
  const messageFile = join(folder.path, 'messages.jsonl');
  const context = openContext({
    DATABASE_URL: database.url,
    REDIS_URL: redis.url,
    REDIS_KEY_PREFIX: redis.prefix,
    MESSAGE_FILE: messageFile,
    TEMPLATES: templates,
  });
  try {
    for (const statement of floor.schema) await context.pool.query(statement);
    const query = (text: string, values: unknown[]) => context.pool.query(text, values);
    await test(floor.handlers(context), { query, messageFile, databaseUrl: database.url });
  } finally {
    context.redis.disconnect();
    await context.pool.end();
  }
}

const services = ['TEST_DATABASE_URL', 'TEST_REDIS_URL'].every((name) => process.env[name]);

describe.skipIf(!services)('floors of the bench do what they are measured for', () => {
  it('sign-in: by the password alone', () =>
    withFloor(signIn, async (handlers, { query }) => {
      const accountId = randomUUID();
      await query('insert into accounts values ($1, $2, $3)', [
        accountId,
        'ann',
        await hashPassword(),
      ]);
      const answer = await call(handlers, 'signIn', { identifier: 'ann', password: PASSWORD });
      expect(answer).toMatchObject({ accountId, tokens: { tokenType: 'Bearer' } });
      expect(await query('select from sessions', [])).toMatchObject({ rowCount: 1 });
      await expect(
        call(handlers, 'signIn', { identifier: 'ann', password: 'wrong' }),
      ).rejects.toBeDefined();
    }));

  it('refresh: each token once', () =>
    withFloor(refresh, async (handlers, { query }) => {
      const refreshToken = `${randomUUID()}.${'s'.repeat(87)}`;
      await query(
        `insert into sessions (session_id, account_id, token_hash, expires_at) values ($1, $1, $2, now() + interval '1 day')`,
        [refreshToken.slice(0, 36), sha256(refreshToken)],
      );
      const { tokens } = await call<{ tokens: { refreshToken: string } }>(
        handlers,
        'refreshSession',
        { refreshToken },
      );
      expect(tokens.refreshToken).not.toBe(refreshToken);
      await expect(call(handlers, 'refreshSession', { refreshToken })).rejects.toBeDefined();
      await call(handlers, 'refreshSession', { refreshToken: tokens.refreshToken });
    }));

  it('phone code: sent, counted, redeemed once', () =>
    withFloor(phoneCode, async (handlers, { query, messageFile }) => {
      const { challenge } = await call<{ challenge: { challengeId: string } }>(
        handlers,
        'sendPhoneVerificationCode',
        {
          phoneNumber: '+84912345678',
        },
      );
      const code = /\d{6}/.exec(JSON.parse(await readFile(messageFile, 'utf8')).text)?.[0];
      const { challengeId } = challenge;
      await expect(
        call(handlers, 'confirmPhoneNumber', { challengeId, code: 'wrong' }),
      ).rejects.toBeDefined();
      const confirmed = await call(handlers, 'confirmPhoneNumber', { challengeId, code });
      expect(confirmed).toMatchObject({ identifier: { value: '+84912345678', verified: true } });
      await expect(
        call(handlers, 'confirmPhoneNumber', { challengeId, code }),
      ).rejects.toBeDefined();
      expect(await query('select from phones', [])).toMatchObject({ rowCount: 1 });
    }));
});

describe.skipIf(!services)('floors that send what the product sends', () => {
  let folder: ReturnType<typeof temporaryFolder>;
  let templates = '';

  beforeAll(async () => {
    folder = temporaryFolder();
    templates = join(folder.path, 'templates.json');
    await writeFile(templates, JSON.stringify(await recordTemplates()));
  }, 60_000);
  afterAll(() => folder[Symbol.dispose]());

  /** One person in a database of the product. */
  const seeded = async (databaseUrl: string) => {
    await makeProductSchema(databaseUrl, 'bench');
    const people = { databaseUrl, tokenKey: randomBytes(32), callerName: 'bench' };
    const [person] = await seedPeople(people, 1, 0);
    if (person === undefined) throw new Error('nobody was seeded');
    return person;
  };

  it('refresh: the session is rotated, and its last token ends it', () =>
    withFloor(
      refreshAsSent,
      async (handlers, { query, databaseUrl }) => {
        const { accountId, refreshToken } = await seeded(databaseUrl);
        const session = async () =>
          (
            await query(
              'select generation::int, end_reason from sessions where account_id = $1 and caller = $2',
              [accountId, 'bench'],
            )
          ).rows;
        const refreshed = (token: string) =>
          call<{ tokens: { refreshToken: string } }>(handlers, 'refreshSession', {
            refreshToken: token,
          });
        const first = await refreshed(refreshToken);
        await refreshed(first.tokens.refreshToken);
        expect(await session()).toEqual([{ generation: 2, end_reason: null }]);
        await expect(refreshed(refreshToken)).rejects.toBeDefined();
        expect(await session()).toEqual([{ generation: 2, end_reason: 'reused' }]);
      },
      templates,
    ));

  it('phone code: sent, counted, and the number is verified, with all that stands beside it', () =>
    withFloor(
      phoneCodeAsSent,
      async (handlers, { query, messageFile, databaseUrl }) => {
        const { accountId, phone, accessToken } = await seeded(databaseUrl);
        const metadata = new Metadata();
        metadata.set('authorization', `Bearer ${accessToken}`);
        const { challenge } = await call<{ challenge: { challengeId: string } }>(
          handlers,
          'sendPhoneVerificationCode',
          { phoneNumber: phone },
          metadata,
        );
        const text: string = JSON.parse(await readFile(messageFile, 'utf8')).text;
        const code = /\d{6}/.exec(text)?.[0] ?? '';
        const confirm = (guess: string) =>
          call(
            handlers,
            'confirmPhoneNumber',
            { challengeId: challenge.challengeId, code: guess },
            metadata,
          );
        await expect(confirm(code === '000000' ? '000001' : '000000')).rejects.toBeDefined();
        expect(await confirm(code)).toMatchObject({ identifier: { value: phone, verified: true } });
        await expect(confirm(code)).rejects.toBeDefined();
        const count = `(select count(*)::int from`;
        const { rows } = await query(
          `select (select state from identifiers where account_id = $1 and type = 'phone'),
            ${count} challenges where account_id = $1 and used_at is not null) as used,
            ${count} outbox where account_id = $1 and state = 'queued') as queued,
            ${count} guess_budgets) as budgets,
            ${count} audit_events where account_id = $1 and kind = 'change') as audited`,
          [accountId],
        );
        expect(rows).toEqual([{ state: 'verified', used: 1, queued: 1, budgets: 2, audited: 2 }]);
      },
      templates,
    ));

  it('phone sign-in: asked for, sent, and a session begins, once', () =>
    withFloor(
      phoneSignInAsSent,
      async (handlers, { query, messageFile, databaseUrl }) => {
        const person = await seeded(databaseUrl);
        await proveNumbers(databaseUrl, [person]);
        const { accountId, phone } = person;
        const { challenge } = await call<{ challenge: { challengeId: string } }>(
          handlers,
          'requestPhoneSignIn',
          { phoneNumber: phone },
        );
        const code = codeIn(await filedMessages(messageFile).nth(phone));
        const complete = (guess: string) =>
          call<{ tokens: { accessToken: string } }>(handlers, 'completePhoneSignIn', {
            challengeId: challenge.challengeId,
            code: guess,
          });
        await expect(complete(code === '000000' ? '000001' : '000000')).rejects.toBeDefined();
        expect(await complete(code)).toMatchObject({ accountId, isFirstSignIn: false });
        await expect(complete(code)).rejects.toBeDefined();
        expect(await left(query, accountId)).toEqual({
          messages: ['sent'],
          actions: ['code_requested', 'code_sent', 'session_started'],
          sessions: 2,
          tokens: 0,
        });
      },
      templates,
    ));

  it('recovery: asked for, sent, and the code buys a token, once', () =>
    withFloor(
      recoveryAsSent,
      async (handlers, { query, messageFile, databaseUrl }) => {
        const person = await seeded(databaseUrl);
        await proveNumbers(databaseUrl, [person]);
        const { challenge } = await call<{ challenge: { challengeId: string } }>(
          handlers,
          'requestPasswordReset',
          { identifier: person.phone },
        );
        const code = codeIn(await filedMessages(messageFile).nth(person.phone));
        const verify = (guess: string) =>
          call(handlers, 'verifyPasswordResetCode', {
            challengeId: challenge.challengeId,
            code: guess,
          });
        await expect(verify(code === '000000' ? '000001' : '000000')).rejects.toBeDefined();
        expect(await verify(code)).toMatchObject({ resetToken: expect.stringMatching(/^cpr_/) });
        await expect(verify(code)).rejects.toBeDefined();
        expect(await left(query, person.accountId)).toEqual({
          messages: ['sent'],
          actions: ['code_requested', 'code_sent', 'reset_code_redeemed'],
          sessions: 1,
          tokens: 1,
        });
      },
      templates,
    ));

  /** What a flow has left behind, when its message is marked as sent. */
  const left = async (
    query: (text: string, values: unknown[]) => Promise<{ rows: unknown[] }>,
    accountId: string,
  ) => {
    await eventually('the message is marked as sent', async () => {
      const { rows } = await query("select from outbox where state = 'sent'", []);
      return rows.length > 0;
    });
    const { rows } = await query(
      `select (select array_agg(state) from outbox) as messages,
        (select array_agg(action order by action) from audit_events where kind = 'change') as actions,
        (select count(*)::int from sessions where account_id = $1) as sessions,
        (select count(*)::int from challenges where account_id = $1 and reset_token_hash is not null) as tokens`,
      [accountId],
    );
    return rows[0];
  };
});

describe('a template', () => {
  const sample = (...values: unknown[]) => ({
    statement: { text: 'select $1, $2', values },
    known: { accountId: (value: unknown) => value === values[0] },
  });

  it('knows what is fixed, what is known, and what is random, and equal values as one', () => {
    const [one, other] = [randomUUID(), randomUUID()];
    expect(
      templateOf('x', sample('ann', 'sms', one, one), sample('bob', 'sms', other, other)),
    ).toEqual({
      name: 'x',
      text: 'select $1, $2',
      fixed: [null, 'sms', null, null],
      variables: [
        { at: [0], make: { known: 'accountId' } },
        { at: [2, 3], make: { uuid: 4 } },
      ],
    });
  });

  it('takes what is equal within JSON as it is, lists too', () => {
    const detail = (id: string) => JSON.stringify({ id, amr: ['otp', 'sms'] });
    const [one, other] = [randomUUID(), randomUUID()];
    const { variables } = templateOf('x', sample(one, detail(one)), sample(other, detail(other)));
    expect(variables[1]?.make).toEqual({
      json: { id: { known: 'accountId' }, amr: { fixed: ['otp', 'sms'] } },
    });
  });

  it('is refused where a variable is nobody’s', () => {
    expect(() => templateOf('x', sample('ann', 'red'), sample('bob', 'blue'))).toThrow(
      'x: $2 differs from person to person',
    );
  });
});

describe('charges of two people', () => {
  const script = (id: string, counter: string, window = '60') => [
    ['sha', '2', `run:c:{${id}}`, `run:${counter}`, '1700000000000', window],
  ];
  const [ann, bob] = ['a'.repeat(22), 'b'.repeat(22)];

  it('differ in hashes and the time alone, and equal hashes stay equal', () => {
    const { commands } = chargesOf('run:', script(ann, `d:${ann}`), script(bob, `d:${bob}`));
    const hash = { hash: 0, length: 22 };
    expect(commands[0]?.map(({ isKey, parts }) => [isKey, ...parts.filter(Boolean)])).toEqual([
      [false, 'sha'],
      [false, '2'],
      [true, 'c', ':', '{', hash, '}'],
      [true, 'd', ':', hash],
      [false, '1700000000000'],
      [false, '60'],
    ]);
  });

  it('are refused where they differ in more, or where there are none', () => {
    const one = script(ann, 'd');
    expect(() => chargesOf('run:', one, script(bob, 'd', '3600'))).toThrow('more than a hash');
    expect(() => chargesOf('other:', one, one)).toThrow('without the prefix');
    expect(() => chargesOf('run:', one, [...one, ...one])).toThrow('charged differently');
    expect(() => chargesOf('run:', [], [])).toThrow('not at all');
  });
});

describe('the floor of introspection', () => {
  afterEach(() => {
    vi.unstubAllEnvs();
  });

  it('believes no other key', async () => {
    const { publicKey } = generateKeyPairSync('ed25519');
    vi.stubEnv('PUBLIC_JWK', JSON.stringify(publicKey.export({ format: 'jwk' })));
    const handlers = introspection.handlers({} as never);
    const accessToken = signAccessToken(randomUUID(), randomUUID());
    expect(await call(handlers, 'introspectToken', { accessToken })).toMatchObject({
      active: false,
    });
  });
});
