import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import {
  type House,
  messagesTo,
  newCaller,
  openHouse,
  present,
  refusalOf,
} from '../accounts/house.js';
import { eachDatabase } from '../support/databases.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { ONE_OF_EACH, PERSON, refusedUntouched } from './untouched.js';
import {
  ALLOWED_REGIONS,
  type BadValue,
  badEmails,
  badIds,
  badLocales,
  badNames,
  badPasswords,
  badPhones,
  badUsernames,
} from './values.js';

/** The proto name of each field, and how a request says it. */
const fields = [
  ['username', 'username', badUsernames],
  ['password', 'password', badPasswords],
  ['email', 'email', badEmails],
  ['phone_number', 'phoneNumber', badPhones],
  ['display_name', 'displayName', badNames],
  ['organization_name', 'organizationName', badNames],
  ['locale', 'locale', badLocales],
  ['request_id', 'requestId', badIds],
] as const;

const request = () => ({ username: unique.username(), password: PASSWORD });
const withBad = (name: string, bad: BadValue) => ({
  ...request(),
  [name]: bad.value,
  ...(bad.region === undefined ? {} : { region: bad.region }),
});

eachDatabase('bad input to SignUp', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = await house.open({ SMS_ALLOWED_REGIONS: ALLOWED_REGIONS });
  });
  afterAll(() => house[Symbol.asyncDispose]());

  describe.each(fields)('%s', (field, name, values) => {
    it.each(values.map((bad) => [bad.what, bad] as const))(
      'refuses %s (rule 11)',
      async (_, bad) => {
        const call = () => app.auth.signUp(withBad(name, bad));
        await refusedUntouched(app, [call], (refused) => {
          const named = bad.field ?? field;
          expect(refused).toMatchObject({ reason: bad.reason, codeName: 'INVALID_ARGUMENT' });
          expect(refused.metadata['field']).toBe(named);
          expect(refused.violations.map((violation) => violation.field)).toEqual([named]);
          // The description helps a developer, and never quotes the value.
          const [violation] = refused.violations;
          expect(violation?.description).not.toBe('');
          if (bad.value.length > 8)
            expect(refused.message + violation?.description).not.toContain(bad.value);
        });
      },
    );
  });

  it('tells of all that is wrong at once; the first decides the reason', async () => {
    const bad = Object.fromEntries(fields.map(([, name, values]) => [name, values[0]?.value]));
    const all = { ...request(), ...bad };
    await refusedUntouched(app, [() => app.auth.signUp(all)], (refused) => {
      expect(refused.reason).toBe('USERNAME_INVALID');
      expect(refused.violations.map(({ field }) => field).sort()).toEqual(
        fields.map(([field]) => field).sort(),
      );
    });
  });

  it("refuses a password made of the person's own identifiers (rule 14)", async () => {
    const own = {
      username: 'nguyenvanlan',
      email: 'lan.nguyen@example.com',
      phoneNumber: '+84912345678',
      displayName: 'Nguyen Van Lan',
    };
    const passwords = [
      'nguyenvanlan',
      'NguyenVanLan1',
      'lan.nguyen@example.com',
      '+84912345678',
      '0912345678',
    ];
    const calls = passwords.map((password) => () => app.auth.signUp({ ...own, password }));
    await refusedUntouched(app, calls, (refused) => {
      expect(refused).toMatchObject({
        reason: 'PASSWORD_TOO_COMMON',
        violations: [{ field: 'password' }],
      });
    });
  });

  it('takes an empty optional field for an absent one', async () => {
    const empty = {
      email: '',
      phoneNumber: '',
      region: '',
      displayName: '',
      locale: '',
      organizationName: '',
      requestId: '',
    };
    const { response, username } = await signUp(app, empty);
    expect(response.challenges).toEqual([]);
    expect(response.account?.identifiers.map(({ value }) => value)).toEqual([username]);
  });

  it.each(['Ngô Bảo Châu', '李小龍', 'محمد علي', 'Ольга', '𝒜 😀'])(
    'takes %s for a name: names have room for every script',
    async (name) => {
      const { response } = await signUp(app, { displayName: name, organizationName: name });
      expect(response.account?.profile?.displayName).toBe(name.normalize('NFC'));
    },
  );

  it('takes an IDN in either spelling, and writes to its one canonical form (rule 11)', async () => {
    const local = unique.username();
    for (const spelled of [`${local}@MÜNCHEN.example.de`, `${local}@xn--mnchen-3ya.example.de`]) {
      const { response } = await signUp(app, { email: spelled });
      expect(response.account?.identifiers[1]?.value).toBe(`${local}@xn--mnchen-3ya.example.de`);
    }
    expect(await messagesTo(app, `${local}@xn--mnchen-3ya.example.de`)).toHaveLength(2);
  });

  it('charges no soft limit for what it refuses (P2), shown with limits of one', async () => {
    const callerKey = await newCaller(app);
    await using limited = await house.open(
      { ...ONE_OF_EACH, SMS_ALLOWED_REGIONS: ALLOWED_REGIONS },
      { callerKey },
    );
    for (const [, name, values] of fields) {
      for (const bad of values) {
        expect((await refusalOf(limited.auth.signUp(withBad(name, bad), PERSON))).reason).toBe(
          bad.reason,
        );
      }
    }
    const good = () => ({ ...request(), email: unique.email(), phoneNumber: unique.phone() });
    const { account } = await limited.auth.signUp(good(), PERSON);
    expect(present(account).identifiers).toHaveLength(3);
    await refusedUntouched(limited, [() => limited.auth.signUp(good(), PERSON)], (refused) => {
      expect(refused).toMatchObject({ reason: 'RATE_LIMITED', codeName: 'RESOURCE_EXHAUSTED' });
      expect(refused.retryAfter).toBeGreaterThan(3_000);
    });
  });
});
