import { randomBytes } from 'node:crypto';
import { sql } from 'kysely';
import { signUp } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

/** What a stranger may type. Values of one kind are as long as each other, and masked alike. */
export interface Typed {
  readonly username: string;
  readonly email: string;
  readonly phone: string;
}

type Seeding = Pick<TestApp, 'auth' | 'db'>;

let phones = randomBytes(2).readUInt16BE();

export function newValues(): Typed {
  const name = `u${randomBytes(6).toString('hex')}`;
  phones = (phones + 1) % 100_000;
  const phone = `+8491${String(phones).padStart(5, '0')}00`;
  return { username: name, email: `${name}@example.com`, phone };
}

/** Everything that can be behind what somebody types (rule 8), by what makes it so. */
export const identifierStates: Readonly<Record<string, (app: Seeding) => Promise<Typed>>> = {
  'never seen': async () => newValues(),
  unverified: async (app) => (await claimed(app)).typed,
  verified: async (app) => (await verified(app)).typed,
  blocked: withAccount(sql`status = 'blocked', proof_epoch = 1, session_epoch = 1`),
  deactivated: withAccount(sql`status = 'deactivated', proof_epoch = 1, session_epoch = 1`),
  locked: async (app) => {
    const { typed, accountId } = await verified(app);
    // By guesses at other things than what will be typed, which would show.
    await sql`insert into guess_budgets
        (subject, channel, lane, failures, locks, locked_at, locked_until, window_failures, window_started_at)
      select uuid_send(${accountId}::uuid), c, 'anonymous', 5, 1, now(), now() + interval '30 days', 5, now()
      from unnest(array['password', 'sms', 'email']) c
      on conflict (subject, channel, lane) do update
        set locked_at = excluded.locked_at, locked_until = excluded.locked_until`.execute(app.db);
    return typed;
  },
  erased: async (app) => {
    const { typed, accessToken } = await verified(app);
    await app.auth.closeAccount({}, { accessToken });
    return typed;
  },
  'without a password': withAccount(sql`password_hash = null, password_pepper = null`),
  'not enabled for sign-in': withIdentifiers(sql`sign_in_enabled = false, kept_demoted = true`),
  lapsed: withIdentifiers(sql`state = 'lapsed'`),
  contact: withIdentifiers(sql`state = 'contact', sign_in_enabled = false`),
  disputed: withIdentifiers(sql`state = 'disputed', sign_in_enabled = false`),
};

async function claimed(app: Seeding) {
  const typed = newValues();
  const { username, email, phone: phoneNumber } = typed;
  const { accountId, accessToken } = await signUp(app, { username, email, phoneNumber });
  return { typed, accountId, accessToken };
}

async function verified(app: Seeding) {
  const person = await claimed(app);
  await sql`update identifiers set state = 'verified', sign_in_enabled = true, proven_by = 'code',
      verified_at = now(), claim_expires_at = null
    where account_id = ${person.accountId}::uuid and state = 'claimed'`.execute(app.db);
  return person;
}

function withAccount(change: ReturnType<typeof sql>) {
  return async (app: Seeding): Promise<Typed> => {
    const { typed, accountId } = await verified(app);
    await sql`update accounts set ${change} where account_id = ${accountId}::uuid`.execute(app.db);
    return typed;
  };
}

function withIdentifiers(change: ReturnType<typeof sql>) {
  return async (app: Seeding): Promise<Typed> => {
    const { typed, accountId } = await verified(app);
    await sql`update identifiers set ${change}
      where account_id = ${accountId}::uuid and type <> 'username'`.execute(app.db);
    return typed;
  };
}
