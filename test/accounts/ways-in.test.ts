import fc from 'fast-check';
import { sql } from 'kysely';
import { afterAll, beforeAll, expect, it } from 'vitest';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import { eachDatabase } from '../support/databases.js';
import { type Signup, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import { identifiersOf } from './changes.js';
import { type House, openHouse, refusalOf } from './house.js';

const WIRE = {
  username: IdentifierType.USERNAME,
  email: IdentifierType.EMAIL,
  phone: IdentifierType.PHONE,
} as const;
type Type = keyof typeof WIRE;

/** What an account holds of a type. */
interface Held {
  readonly state: 'verified' | 'lapsed' | 'contact' | 'disputed';
  readonly enabled: boolean;
}

/** An account as far as the ways into it go. Whoever has no email or phone has no entry for it. */
interface Ways {
  readonly password: boolean;
  readonly held: Readonly<Partial<Record<Type, Held>>>;
}

type Act =
  | { readonly act: 'set' | 'remove'; readonly type: 'email' | 'phone' }
  | { readonly act: 'on' | 'off'; readonly type: Type };

/** Rule 13 in few words: a password with any enabled verified identifier, or an enabled verified phone. */
function hasWayIn({ password, held }: Ways): boolean {
  return Object.entries(held).some(
    ([type, { state, enabled }]) =>
      state === 'verified' && enabled && (password || type === 'phone'),
  );
}

/** What an act must answer, and how it must leave the account. */
function expected(
  ways: Ways,
  { act, type }: Act,
): { readonly reason: string; readonly after: Ways } {
  const { [type]: own, ...others } = ways.held;
  const unchanged = (reason: string) => ({ reason, after: ways });
  const becomes = (held: Held | undefined) => {
    const after = { ...ways, held: held === undefined ? others : { ...others, [type]: held } };
    const givesUp = own?.enabled === true && held?.enabled !== true;
    return givesUp && !hasWayIn(after) ? unchanged('LAST_SIGN_IN_METHOD') : { reason: 'OK', after };
  };
  if (act === 'set' || act === 'remove') return becomes(undefined);
  if (own === undefined || own.state === 'lapsed' || own.state === 'disputed')
    return unchanged('IDENTIFIER_NOT_VERIFIED');
  const enabled = act === 'on';
  if (own.enabled === enabled) return unchanged('OK');
  return becomes({ state: 'verified', enabled });
}

const held = (states: readonly Held['state'][]) =>
  fc.record({ state: fc.constantFrom(...states), enabled: fc.boolean() }).map(
    ({ state, enabled }): Held => ({
      state,
      enabled: enabled && (state === 'verified' || state === 'lapsed'),
    }),
  );

const address = fc.option(held(['verified', 'lapsed', 'contact', 'disputed']), { nil: undefined });

const ways: fc.Arbitrary<Ways> = fc
  .record({ password: fc.boolean(), username: held(['verified']), email: address, phone: address })
  .map(({ password, username, email, phone }) => ({
    password,
    held: { username, ...(email && { email }), ...(phone && { phone }) },
  }));

const acts: fc.Arbitrary<readonly Act[]> = fc.array(
  fc.oneof(
    fc.constantFrom<Act>(
      { act: 'set', type: 'phone' },
      { act: 'remove', type: 'phone' },
      { act: 'remove', type: 'email' },
    ),
    fc.record({
      act: fc.constantFrom('on' as const, 'off' as const),
      type: fc.constantFrom<Type>('username', 'email', 'phone'),
    }),
  ),
  { minLength: 1, maxLength: 5 },
);

eachDatabase('ways into an account', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  /** Somebody with exactly these ways in; whoever has none yet is signed in all the same. */
  const someone = async (start: Ways): Promise<Signup> => {
    const person = await signUp(app, { email: unique.email(), phoneNumber: unique.phone() });
    if (!start.password)
      await sql`update accounts set password_hash = null
        where account_id = ${person.accountId}::uuid`.execute(app.db);
    for (const type of ['username', 'email', 'phone'] as const) {
      const own = start.held[type];
      const row = sql`account_id = ${person.accountId}::uuid and type = ${type}`;
      await (own === undefined
        ? sql`delete from identifiers where ${row}`
        : sql`update identifiers set state = ${own.state}, sign_in_enabled = ${own.enabled},
            proven_by = 'code', verified_at = created_at, claim_expires_at = null where ${row}`
      ).execute(app.db);
    }
    return person;
  };

  const perform = (person: Signup, { act, type }: Act): Promise<unknown> => {
    if (act === 'set') return app.auth.setPhoneNumber({ phoneNumber: unique.phone() }, person);
    if (act === 'remove' && type === 'email') return app.auth.removeEmail({}, person);
    if (act === 'remove') return app.auth.removePhoneNumber({}, person);
    return app.auth.setSignInEnabled({ type: WIRE[type], enabled: act === 'on' }, person);
  };

  it('are never taken below one, and nothing else is refused for it: every account, any acts (rule 13)', async () => {
    await fc.assert(
      fc.asyncProperty(ways, acts, async (start, sequence) => {
        const person = await someone(start);
        let model = start;
        for (const act of sequence) {
          const { reason, after } = expected(model, act);
          const call = perform(person, act);
          if (reason === 'OK') await call;
          else expect((await refusalOf(call)).reason).toBe(reason);
          const rows = (await identifiersOf(app, person.accountId)).filter(
            ({ state }) => state !== 'claimed',
          );
          expect(
            Object.fromEntries(
              rows.map(({ type, state, sign_in_enabled }) => [
                type,
                { state, enabled: sign_in_enabled },
              ]),
            ),
          ).toEqual(after.held);
          if (hasWayIn(model)) expect(hasWayIn(after)).toBe(true);
          model = after;
        }
      }),
      { numRuns: 100 },
    );
  }, 120_000);
});
