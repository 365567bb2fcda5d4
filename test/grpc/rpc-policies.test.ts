import { readFile } from 'node:fs/promises';
import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { AuthServiceService } from '../../generated/countersign/v1/auth_service.js';
import { rpcGroups } from '../../src/callers/index.js';
import type { AuthMethod } from '../../src/grpc/index.js';
import { authServicePolicies, type RpcPolicy, type Secret } from '../../src/grpc/rpc-policies.js';
import { frame, sendRaw } from '../support/raw-frames.js';
import { contract, fieldsWithin, methodsOf, sourceComments } from './contract.js';
import { goodKey, goodToken, openToyEdge } from './toy-edge.js';

const methods = methodsOf('countersign.v1.AuthService');
const policies: Readonly<Record<string, RpcPolicy>> = authServicePolicies;
const byName = methods.map((method) => [method.name, method] as const);

/** Fields that a secret arrives in, to be compared with what is known. */
const SECRET_FIELDS: Readonly<Record<string, Secret>> = {
  password: 'password',
  current_password: 'password',
  code: 'code',
  refresh_token: 'refresh token',
  access_token: 'access token',
  reset_token: 'reset token',
};
const IDENTIFIER_FIELDS = /(^|\.)(identifier|username|email|phone_number)$/;
/** What no answer may hold (api.md, Style). Tokens are what some RPCs are for. */
const HELD_BACK = /(^|_)(code|codes|otp|pin|hash|password|secret|salt|pepper|private|seed)(_|$)/;
/** What only the server decides. */
const SERVER_OWNED =
  /(^|\.)(account_id|caller|client_id|session_id|status|verified|verify_time|sign_in_enabled|role|roles|grants|platform_roles|create_time|update_time|expire_time|resend_time|auth_time|revision)$/;

/** Which of the account's own things is meant: nothing is set by it. */
const NAMES_A_RESOURCE: ReadonlySet<string> = new Set(['RevokeSession.session_id']);

it('are listed in docs/operations.md by the groups that can be granted', async () => {
  const page = await readFile(new URL('../../docs/operations.md', import.meta.url), 'utf8');
  const listed = [...page.matchAll(/^\| `([a-z-]+)` \| ((?:`[A-Z]\w+`(?:, )?)+) \|$/gm)].map(
    ([, group, names = '']) => [group, names.replaceAll('`', '').split(', ').sort()],
  );
  const granted = rpcGroups.map((group) => [
    group,
    methods
      .filter(({ localName }) => policies[localName]?.group === group)
      .map(({ name }) => name)
      .sort(),
  ]);
  expect(listed).toEqual(granted);
});

describe('every RPC', () => {
  it('has a policy, and every policy an RPC (rule 7)', () => {
    const names = methods.map(({ localName }) => localName);
    expect(Object.keys(authServicePolicies).sort()).toEqual([...names].sort());
    expect(Object.keys(AuthServiceService).sort()).toEqual([...names].sort());
  });

  it.each(byName)('%s belongs to a group that can be granted', (_, { localName }) => {
    expect(rpcGroups).toContain(policies[localName]?.group);
  });

  it.each(byName)(
    '%s says truly which secrets it takes, and is limited if it takes any (rule 7)',
    (_, method) => {
      const policy = policies[method.localName];
      const secrets = fieldsWithin(method.input).flatMap(
        ({ field }) => SECRET_FIELDS[field.name] ?? [],
      );
      expect(policy?.secrets).toEqual([...new Set(secrets)]);
      if (secrets.length > 0) expect(policy?.limiters.length).toBeGreaterThan(0);
    },
  );

  it.each(byName)('%s says truly whether it takes an identifier (rule 8)', (_, method) => {
    const takes = fieldsWithin(method.input).some(({ path }) => IDENTIFIER_FIELDS.test(path));
    expect(policies[method.localName]?.takesIdentifier).toBe(takes);
  });

  it.each(byName)('%s says truly whether it sends a code (T1)', (_, method) => {
    const answersChallenge = fieldsWithin(method.output).some(({ field }) => {
      return field.message?.typeName === 'countersign.v1.Challenge';
    });
    expect(policies[method.localName]?.sendsCode).toBe(answersChallenge);
    // What an address has had counts on all replicas together, and so do the sources that it knows.
    if (answersChallenge) expect(policies[method.localName]?.counted).toBe('shared');
  });

  it.each(byName)(
    '%s is charged and leaves one audit record when it is called (rule 7, T6)',
    async (name, method) => {
      const { address, seen } = await openToyEdge();
      const answer = await sendRaw({
        address,
        method: `countersign.v1.AuthService/${name}`,
        chunks: [frame(Buffer.alloc(0))],
        headers: {
          authorization: `Bearer ${goodToken}`,
          'countersign-caller-key': goodKey,
          'countersign-client-address': '203.0.113.9',
        },
      });
      expect(answer.status).toBe(status.OK);
      expect(seen.audit.map((event) => [event.method, event.outcome])).toEqual([
        [`countersign.v1.AuthService/${name}`, 'OK'],
      ]);
      const charged = [...seen.admitted, ...seen.admittedLocally]
        .flat()
        .map(({ limiter }) => limiter);
      expect(charged).toEqual([...authServicePolicies[method.localName as AuthMethod].limiters]);
    },
  );

  it.each(byName)('%s has a pair of messages of its own', (name, { input, output }) => {
    expect([input.name, output.name]).toEqual([`${name}Request`, `${name}Response`]);
  });

  it.each(byName)('%s asks for nothing that the server owns', (name, { input }) => {
    const owned = fieldsWithin(input)
      .map(({ path }) => path)
      .filter((path) => SERVER_OWNED.test(path) && !NAMES_A_RESOURCE.has(`${name}.${path}`));
    expect(owned).toEqual([]);
  });

  it.each(byName)(
    '%s answers with nothing that could hold a code, a hash or a private key',
    (_, { output }) => {
      const held = fieldsWithin(output).filter(({ field }) => HELD_BACK.test(field.name));
      expect(held.map(({ path }) => path)).toEqual([]);
    },
  );

  it.each(byName)(
    '%s says who may call it, whether a retry is safe, and its reasons',
    (_, method) => {
      const comment = sourceComments().get(`${method.parent.typeName}.${method.name}`) ?? '';
      for (const part of ['Who: ', 'Retry: ', 'Reasons: ']) expect(comment).toContain(part);
    },
  );
});

it('is commented throughout: services, RPCs, messages, fields, enums and values', () => {
  const bare = [...sourceComments()].filter(([, comment]) => comment.trim() === '');
  expect(bare.map(([name]) => name)).toEqual([]);
  expect(contract().messages.length).toBeGreaterThan(20);
});
