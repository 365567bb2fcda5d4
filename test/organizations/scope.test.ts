import fc from 'fast-check';
import { sql } from 'kysely';
import { describe, expect, it } from 'vitest';
import { systemClock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import { type Db, sqlNow } from '../../src/db/index.js';
import {
  insertOrganization,
  insertRoleAssignment,
  MAX_GRANTS,
  parseScope,
  resolveScope,
  type ScopeRequest,
  type ScopeRow,
  toScope,
} from '../../src/organizations/index.js';
import { createAccessTokens, MAX_ACCESS_TOKEN_LENGTH } from '../../src/sessions/index.js';
import {
  ACCESS_SECONDS,
  assign,
  newAccount,
  newMerchant,
  newOrganization,
  openHouse,
} from '../sessions/fixtures.js';
import { eachDatabase } from '../support/databases.js';

interface Preferred {
  readonly organizationId?: string;
  readonly merchantId?: string;
}

async function resolve(
  db: Db,
  accountId: string,
  requested?: ScopeRequest,
  preferred: Preferred = {},
) {
  const { rows } = await sql<ScopeRow>`
    with who as (select ${accountId}::uuid as account_id,
      ${preferred.organizationId ?? null}::uuid as preferred_organization_id,
      ${preferred.merchantId ?? null}::uuid as preferred_merchant_id)
    ${resolveScope({ who: sql`who`, requested })}`.execute(db);
  expect(rows).toHaveLength(1);
  const [row] = rows;
  return row?.scope_granted === true ? toScope(row) : 'refused';
}

eachDatabase('the scope of a session', (database) => {
  it('is the preferred organization while the account is a member, else the oldest', async () => {
    const { db } = database();
    const accountId = await newAccount(db);
    const [oldest, younger, foreign] = [
      await newOrganization(db),
      await newOrganization(db),
      await newOrganization(db),
    ];
    await assign(db, accountId, 'owner', oldest);
    await assign(db, accountId, 'employee', younger);
    expect(await resolve(db, accountId)).toMatchObject({ scope: { organizationId: oldest } });
    expect(await resolve(db, accountId, undefined, { organizationId: younger })).toEqual({
      scope: { organizationId: younger },
      grants: [{ role: 'employee' }],
      platformRoles: [],
    });
    expect(await resolve(db, accountId, undefined, { organizationId: foreign })).toMatchObject({
      scope: { organizationId: oldest },
    });
  });

  it('is nowhere for an account without membership, whatever it does on the platform', async () => {
    const { db } = database();
    const accountId = await newAccount(db);
    expect(await resolve(db, accountId)).toEqual({ scope: {}, grants: [], platformRoles: [] });
    await assign(db, accountId, 'operator', null);
    expect(await resolve(db, accountId)).toEqual({
      scope: {},
      grants: [],
      platformRoles: ['operator'],
    });
  });

  it('is refused where the account has no role, alike for what does not exist (rule 25)', async () => {
    const { db } = database();
    const accountId = await newAccount(db);
    const [own, foreign] = [await newOrganization(db), await newOrganization(db)];
    const [mine, other] = [await newMerchant(db, own), await newMerchant(db, foreign)];
    await assign(db, accountId, 'owner', own);
    await assign(db, accountId, 'operator', null);
    const missing = systemRandom.id();
    for (const requested of [
      { organizationId: foreign },
      { organizationId: missing },
      { organizationId: own, merchantId: other },
      { organizationId: own, merchantId: missing },
      { organizationId: foreign, merchantId: other },
      { organizationId: foreign, merchantId: mine },
      { merchantId: other },
    ]) {
      expect(await resolve(db, accountId, requested)).toBe('refused');
    }
    expect(await resolve(db, accountId, { organizationId: own, merchantId: mine })).toMatchObject({
      scope: { organizationId: own, merchantId: mine },
    });
    expect(await resolve(db, accountId, { merchantId: mine })).toMatchObject({
      scope: { organizationId: own, merchantId: mine },
    });
  });

  it('reaches a merchant by a role in it, and no other merchant', async () => {
    const { db } = database();
    const accountId = await newAccount(db);
    const organizationId = await newOrganization(db);
    const [one, two] = [
      await newMerchant(db, organizationId),
      await newMerchant(db, organizationId),
    ];
    await assign(db, accountId, 'cashier', organizationId, one);
    const grants = [{ role: 'cashier', merchantId: one }];
    expect(await resolve(db, accountId, { organizationId })).toMatchObject({
      scope: { organizationId },
      grants,
    });
    expect(await resolve(db, accountId, { organizationId, merchantId: one })).toMatchObject({
      scope: { organizationId, merchantId: one },
    });
    expect(await resolve(db, accountId, { organizationId, merchantId: two })).toBe('refused');
  });

  it('keeps the preferred merchant while a role reaches it, and drops it when another is asked for', async () => {
    const { db } = database();
    const accountId = await newAccount(db);
    const organizationId = await newOrganization(db);
    const [one, two] = [
      await newMerchant(db, organizationId),
      await newMerchant(db, organizationId),
    ];
    await assign(db, accountId, 'cashier', organizationId, one);
    const keep = { organizationId, merchantId: one };
    expect(await resolve(db, accountId, undefined, keep)).toMatchObject({ scope: keep });
    const lost = { organizationId, merchantId: two };
    expect(await resolve(db, accountId, undefined, lost)).toMatchObject({
      scope: { organizationId },
    });
    expect(await resolve(db, accountId, { organizationId }, keep)).toEqual({
      scope: { organizationId },
      grants: [{ role: 'cashier', merchantId: one }],
      platformRoles: [],
    });
  });

  it('brings a bounded number of grants, those of the scope first, that fit a token', async () => {
    const { db } = database();
    const accountId = await newAccount(db);
    const organizationId = await newOrganization(db);
    const merchants: string[] = [];
    for (let n = 0; n < MAX_GRANTS + 10; n += 1) {
      const merchantId = await newMerchant(db, organizationId);
      merchants.push(merchantId);
      await assign(db, accountId, 'employee', organizationId, merchantId);
    }
    await assign(db, accountId, 'customer', organizationId);
    const merchantId = merchants.at(-1) ?? '';
    const found = await resolve(db, accountId, { organizationId, merchantId });
    if (found === 'refused') throw new Error('refused');
    expect(found.grants).toHaveLength(MAX_GRANTS);
    expect(found.grants.slice(0, 2)).toEqual([
      { role: 'customer' },
      { role: 'employee', merchantId },
    ]);
    await using house = await openHouse(db);
    const tokens = createAccessTokens({
      ...house,
      issuer: `https://${'i'.repeat(200)}.example`,
      audience: 'a'.repeat(200),
      ttlSeconds: ACCESS_SECONDS,
    });
    const token = await tokens.issue({
      ...found,
      accountId,
      sessionId: systemRandom.id(),
      caller: 'c'.repeat(64),
      authTime: new Date(),
      amr: ['pwd', 'otp', 'sms', 'mfa'],
    });
    expect(token.length).toBeLessThan(MAX_ACCESS_TOKEN_LENGTH);
  });

  it('is granted exactly when a role reaches it, for any set of roles', async () => {
    const { db } = database();
    const organizations = [await newOrganization(db), await newOrganization(db)];
    const places: { organizationId: string; merchantId?: string }[] = [];
    for (const organizationId of organizations) {
      places.push({ organizationId });
      for (let n = 0; n < 2; n += 1) {
        places.push({ organizationId, merchantId: await newMerchant(db, organizationId) });
      }
    }
    await fc.assert(
      fc.asyncProperty(fc.subarray(places), fc.constantFrom(...places), async (held, asked) => {
        const accountId = await newAccount(db);
        for (const { organizationId, merchantId } of held) {
          await assign(db, accountId, 'employee', organizationId, merchantId ?? null);
        }
        const inside = held.filter(({ organizationId }) => organizationId === asked.organizationId);
        const reached = inside.some(
          ({ merchantId }) =>
            asked.merchantId === undefined ||
            merchantId === undefined ||
            merchantId === asked.merchantId,
        );
        const found = await resolve(db, accountId, asked);
        expect(found !== 'refused').toBe(reached);
        if (found !== 'refused') {
          expect(found.scope).toEqual(asked);
          expect(found.grants).toHaveLength(inside.length);
        }
      }),
      { numRuns: 60 },
    );
  });

  it("begins with an organization of one's own, and its owner", async () => {
    const { db } = database();
    const accountId = await newAccount(db);
    const [organizationId, id] = [systemRandom.id(), systemRandom.id()];
    const now = sqlNow(systemClock);
    await sql`with
      a as (select ${accountId}::uuid as account_id),
      organization as (${insertOrganization(now, { organizationId, name: 'Phở' }, sql`a`)}),
      role as (${insertRoleAssignment(
        now,
        { id, role: 'owner', organizationId },
        { accountId: sql`a.account_id`, from: sql`a` },
      )})
      select from organization, role`.execute(db);
    expect(await resolve(db, accountId)).toEqual({
      scope: { organizationId },
      grants: [{ role: 'owner' }],
      platformRoles: [],
    });
  });
});

describe('a requested scope', () => {
  const id = '018f6f2c-8d2a-7c3e-9b1a-0123456789ab';

  it('is nothing when it is empty', () => {
    for (const raw of [
      undefined,
      {},
      { organizationId: '' },
      { organizationId: '', merchantId: '' },
    ]) {
      expect(parseScope('scope', raw)).toBeUndefined();
    }
  });

  it('has one spelling', () => {
    expect(parseScope('scope', { organizationId: id.toUpperCase(), merchantId: '' })).toEqual({
      organizationId: id,
    });
    expect(parseScope('scope', { merchantId: id })).toEqual({ merchantId: id });
  });

  it('names the field that holds no id', () => {
    for (const bad of [
      ' ',
      id.slice(1),
      `${id} `,
      `{${id}}`,
      id.replaceAll('-', ''),
      'ｇ'.repeat(36),
      'x'.repeat(60_000),
    ]) {
      for (const [name, field] of [
        ['organizationId', 'organization_id'],
        ['merchantId', 'merchant_id'],
      ] as const) {
        expect(() => parseScope('scope', { [name]: bad })).toThrow(
          expect.objectContaining({
            reason: 'FIELD_INVALID',
            violations: [expect.objectContaining({ field: `scope.${field}` })],
          }),
        );
      }
    }
  });
});
