import { randomUUID } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  addressesOf,
  type Claimant,
  channels,
  claimant,
  email,
  type House,
  newCaller,
  openHouse,
  refusalOf,
  sms,
} from '../accounts/house.js';
import { eachDatabase } from '../support/databases.js';
import type { TestApp } from '../support/test-app.js';
import { ONE_OF_EACH, PERSON, refusedUntouched } from './untouched.js';
import {
  ALLOWED_REGIONS,
  type BadValue,
  badCodes,
  badEmails,
  badIds,
  badPhones,
} from './values.js';

const titled = (values: readonly BadValue[]) => values.map((bad) => [bad.what, bad] as const);

eachDatabase('bad input to sends and confirmations', (database) => {
  let house: House;
  let app: TestApp;
  let person: Claimant;
  beforeAll(async () => {
    house = await openHouse(database());
    app = await house.open({ SMS_ALLOWED_REGIONS: ALLOWED_REGIONS });
    person = await claimant(app, sms);
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const sendBad = (to: TestApp, field: 'email' | 'phone_number', bad: BadValue, options: object) =>
    field === 'email'
      ? to.auth.sendEmailVerificationCode({ email: bad.value }, options)
      : to.auth.sendPhoneVerificationCode({ phoneNumber: bad.value, region: bad.region }, options);

  describe.each([
    ['SendEmailVerificationCode', 'email', badEmails],
    ['SendPhoneVerificationCode', 'phone_number', badPhones],
  ] as const)('%s', (_, field, values) => {
    it.each(titled(values))('refuses %s (rule 11)', async (_what, bad) => {
      await refusedUntouched(app, [() => sendBad(app, field, bad, person.session)], (refused) => {
        expect(refused).toMatchObject({ reason: bad.reason, codeName: 'INVALID_ARGUMENT' });
        expect(refused.violations.map((violation) => violation.field)).toEqual([
          bad.field ?? field,
        ]);
      });
    });

    it('tells of address and request_id at once', async () => {
      const bad = values[0]?.value;
      const call = () =>
        field === 'email'
          ? app.auth.sendEmailVerificationCode({ email: bad, requestId: 'x' }, person.session)
          : app.auth.sendPhoneVerificationCode(
              { phoneNumber: bad, requestId: 'x' },
              person.session,
            );
      await refusedUntouched(app, [call], (refused) => {
        expect(refused.violations.map((violation) => violation.field)).toEqual([
          field,
          'request_id',
        ]);
      });
    });
  });

  it.each([
    ['+449098790123', undefined, /premium-rate/],
    ['1900123456', 'VN', /premium-rate/],
    ['+448450123456', undefined, /shared-cost/],
    ['+6591234567', undefined, /of this country/],
    ['0912345678', undefined, /needs a region/],
    ['+84912345678 ext. 12', undefined, /extensions/],
    ['0912345678', 'XX', /ISO 3166-1/],
  ])('says why it refuses %s in region %s (P2, P6)', async (phoneNumber, region, why) => {
    const call = app.auth.sendPhoneVerificationCode({ phoneNumber, region }, person.session);
    const refused = await refusalOf(call);
    expect(refused.violations).toHaveLength(1);
    expect(refused.violations[0]?.description).toMatch(why);
  });

  describe.each(channels)('by $channel', (on) => {
    it.each(titled(badIds))('refuses %s for a request_id', async (_, bad) => {
      const call = () => on.send(app, person.session, on.address(), bad.value);
      await refusedUntouched(app, [call], (refused) => {
        expect(refused).toMatchObject({
          reason: 'FIELD_INVALID',
          metadata: { field: 'request_id' },
        });
        expect(refused.violations.map((violation) => violation.field)).toEqual(['request_id']);
      });
    });

    it.each(titled(badCodes))('refuses %s for a code, and counts no guess (P2)', async (_, bad) => {
      const { challengeId } = person;
      const calls = [
        () => on.confirm(app, { challengeId, code: bad.value }),
        () => on.confirm(app, { challengeId, code: bad.value }, person.session),
        () => on.confirm(app, { code: bad.value }, person.session),
      ];
      await refusedUntouched(app, calls, (refused) => {
        expect(refused).toMatchObject({ reason: 'CODE_MALFORMED', codeName: 'INVALID_ARGUMENT' });
        expect(refused.violations.map((violation) => violation.field)).toEqual(['code']);
        expect(refused.metadata).not.toHaveProperty('attempts_left');
      });
    });

    it.each(titled(badIds))(
      'refuses %s for a challenge_id, and counts no guess',
      async (_, bad) => {
        const guess = { challengeId: bad.value, code: person.code };
        const calls = [() => on.confirm(app, guess), () => on.confirm(app, guess, person.session)];
        await refusedUntouched(app, calls, (refused) => {
          expect(refused).toMatchObject({
            reason: 'FIELD_INVALID',
            metadata: { field: 'challenge_id' },
          });
          expect(refused.violations.map((violation) => violation.field)).toEqual(['challenge_id']);
        });
      },
    );

    it('refuses a missing challenge_id where nobody is signed in, with the code at once', async () => {
      for (const challengeId of [undefined, '']) {
        const calls = [
          () =>
            on.confirm(app, {
              ...(challengeId === undefined ? {} : { challengeId }),
              code: '12 34',
            }),
        ];
        await refusedUntouched(app, calls, (refused) => {
          expect(refused.reason).toBe('FIELD_INVALID');
          expect(refused.violations.map((violation) => violation.field)).toEqual([
            'challenge_id',
            'code',
          ]);
        });
      }
    });

    it('answers CODE_EXPIRED to a challenge_id that is none, as to an old one', async () => {
      const ids = [randomUUID(), '00000000-0000-0000-0000-000000000000', person.accountId];
      const calls = ids.map(
        (challengeId) => () => on.confirm(app, { challengeId, code: person.code }),
      );
      await refusedUntouched(app, calls, (refused) => {
        expect(refused).toMatchObject({ reason: 'CODE_EXPIRED', violations: [] });
      });
    });
  });

  describe('access tokens', () => {
    const forgeries = (): readonly (readonly [string, string])[] => {
      const [header = '', payload = '', signature = ''] = person.accessToken.split('.');
      const encode = (part: object) => Buffer.from(JSON.stringify(part)).toString('base64url');
      const claims = JSON.parse(Buffer.from(payload, 'base64url').toString());
      return [
        ['a word', 'garbage'],
        ['three words', 'a.b.c'],
        ['a refresh token', person.refreshToken],
        ['a challenge id', person.challengeId],
        ['two parts', `${header}.${payload}`],
        ['no signature', `${header}.${payload}.`],
        [
          'another signature',
          `${header}.${payload}.${signature.startsWith('A') ? 'B' : 'A'}${signature.slice(1)}`,
        ],
        ['another subject', `${header}.${encode({ ...claims, sub: randomUUID() })}.${signature}`],
        ['the algorithm none', `${encode({ alg: 'none', typ: 'at+jwt' })}.${payload}.`],
        ['8,000 characters', 'a'.repeat(8_000)],
        ['a second token behind it', `${person.accessToken}, ${person.accessToken}`],
      ];
    };

    it('refuses garbage in every RPC that takes one, also beside a right handle and code (rule 17)', async () => {
      const { challengeId, code } = person;
      for (const [what, accessToken] of forgeries()) {
        const forged = { accessToken };
        const calls = [
          () => app.auth.getAccount({}, forged),
          () => email.send(app, forged, email.address()),
          () => sms.send(app, forged, sms.address()),
          () => email.confirm(app, { challengeId, code }, forged),
          () => sms.confirm(app, { challengeId, code }, forged),
        ];
        await refusedUntouched(app, calls, (refused) => {
          expect(refused.reason, what).toBe('ACCESS_TOKEN_INVALID');
          expect(refused.codeName).toBe('UNAUTHENTICATED');
        });
      }
      expect(await addressesOf(app, person.accountId)).toMatchObject([{ state: 'claimed' }]);
    });

    it('refuses nobody where somebody is needed (A7)', async () => {
      const calls = [
        () => app.auth.getAccount({}),
        () => email.send(app, {}, email.address()),
        () => sms.send(app, {}, sms.address()),
      ];
      await refusedUntouched(app, calls, (refused) =>
        expect(refused.reason).toBe('ACCESS_TOKEN_INVALID'),
      );
    });
  });

  it('charges no soft limit for what it refuses (P2), shown with limits of one', async () => {
    const callerKey = await newCaller(app);
    const open = await house.open({}, { callerKey });
    await using limited = await house.open(
      { ...ONE_OF_EACH, SMS_ALLOWED_REGIONS: ALLOWED_REGIONS },
      { callerKey },
    );
    for (const on of channels) {
      const somebody = await claimant(open, on);
      const options = { ...PERSON, ...somebody.session };
      const other = on === email ? sms : email;
      const [field, values] =
        other === email ? (['email', badEmails] as const) : (['phone_number', badPhones] as const);
      for (const bad of values) await refusalOf(sendBad(limited, field, bad, options));
      for (const bad of badIds)
        await refusalOf(other.send(limited, options, other.address(), bad.value));
      for (const bad of badIds)
        await refusalOf(
          on.confirm(limited, { challengeId: bad.value, code: somebody.code }, options),
        );
      for (const bad of badCodes)
        await refusalOf(on.confirm(limited, { code: bad.value }, options));
      // The first good call of each finds every limit untouched, and uses it up.
      await other.send(limited, options, other.address());
      await on.confirm(limited, { code: somebody.code }, options);
      const spent = [
        () => other.send(limited, options, other.address()),
        () => on.confirm(limited, { code: somebody.code }, options),
      ];
      await refusedUntouched(limited, spent, (refused) =>
        expect(refused.reason).toBe('RATE_LIMITED'),
      );
    }
  });
});
