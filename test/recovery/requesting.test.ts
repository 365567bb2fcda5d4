import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it, vi } from 'vitest';
import {
  codeFor,
  delivered,
  type House,
  messagesTo,
  openHouse,
  refusalOf,
} from '../accounts/house.js';
import { grown, rowCounts } from '../accounts/rows.js';
import { eachDatabase } from '../support/databases.js';
import { outcomeOf } from '../support/outcome.js';
import { PASSWORD, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import {
  ask,
  channelOf,
  type Held,
  heldBy,
  lastInOutbox,
  NEW_PASSWORD,
  otherCaller,
  reasonOf,
  setStatus,
  textsSince,
} from './recovering.js';

const COOLDOWN = { seconds: 61 };
const CODE = /(?<![0-9])[0-9]{6}(?![0-9])/;

eachDatabase('asking for a password reset, typed delivery', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  const identifier = (person: Held, change: ReturnType<typeof sql>) =>
    sql`update identifiers set ${change}
      where account_id = ${person.accountId}::uuid and value = ${person.address}`.execute(app.db);
  /** Another account that has proven the address where a collision makes it a contact. */
  const contact = async ({ on, address }: Held) => {
    const other = await heldBy(app, on);
    await sql`update identifiers set value = ${address}, state = 'contact', sign_in_enabled = false
      where account_id = ${other.accountId}::uuid and value = ${other.address}`.execute(app.db);
    return other;
  };
  const resetBy = async (address: string) => {
    const { challengeId } = await ask(app, address);
    const code = await codeFor(app, address);
    const { resetToken } = await app.auth.verifyPasswordResetCode({ challengeId, code });
    await app.auth.resetPassword({ resetToken, newPassword: NEW_PASSWORD });
  };

  describe.each([channelOf.email, channelOf.sms])('by $channel', (on) => {
    it('sends a code for a reset to the proven address, and echoes where it goes', async () => {
      const person = await heldBy(app, on);
      const answer = await ask(app, person.address);
      expect(answer).toMatchObject({ channel: on.wireChannel, retryAfter: undefined });
      expect(answer.maskedDestination).toMatch(
        on.type === 'email' ? /^u•••@e•••\.com$/ : /^•+\d\d$/,
      );
      const [, message] = await messagesTo(app, person.address);
      expect(message?.text).toMatch(/password reset code/i);
      expect(message?.text).toMatch(CODE);
      expect(message?.text).not.toContain(answer.challengeId);
    });

    /** R2, R4: each of these may be what was typed, and who types it sees no difference. */
    const states: readonly [string, string, (person: Held) => Promise<unknown>][] = [
      ['a code', 'proven', async () => undefined],
      [
        'a code',
        'proven, and not for signing in',
        (person) => identifier(person, sql`sign_in_enabled = false`),
      ],
      [
        'a code',
        'a contact of one account, and nobody’s',
        (person) => identifier(person, sql`state = 'contact', sign_in_enabled = false`),
      ],
      ['a code', 'proven, and another’s contact', contact],
      [
        'nothing',
        'a contact of two accounts',
        async (person) => {
          await identifier(person, sql`state = 'contact', sign_in_enabled = false`);
          await contact(person);
        },
      ],
      [
        'nothing',
        'a contact, and lapsed at another account',
        async (person) => {
          await contact(person);
          await identifier(person, sql`state = 'lapsed'`);
        },
      ],
      [
        'nothing',
        'a contact, and disputed between others',
        async (person) => {
          await contact(person);
          await identifier(person, sql`state = 'disputed', sign_in_enabled = false`);
        },
      ],
      ['nothing', 'lapsed', (person) => identifier(person, sql`state = 'lapsed'`)],
      [
        'nothing',
        'disputed',
        (person) => identifier(person, sql`state = 'disputed', sign_in_enabled = false`),
      ],
      [
        'nothing',
        'only claimed',
        (person) =>
          identifier(
            person,
            sql`state = 'claimed', sign_in_enabled = false, proven_by = null, verified_at = null,
              claim_expires_at = now() + interval '7 days'`,
          ),
      ],
      ['a note', 'of a blocked account', ({ accountId }) => setStatus(app, accountId, 'blocked')],
      [
        'a note',
        'of a deactivated account',
        ({ accountId }) => setStatus(app, accountId, 'deactivated'),
      ],
      [
        'nothing',
        'of an account that was closed',
        async ({ accountId }) => {
          await sql`update accounts set status = 'closed' where account_id = ${accountId}`.execute(
            app.db,
          );
          await sql`delete from identifiers where account_id = ${accountId}`.execute(app.db);
        },
      ],
    ];
    it.each(states)(
      'sends %s where the address is %s; the answer is the same',
      async (due, _, prepare) => {
        const person = await heldBy(app, on);
        await prepare(person);
        await delivered(app);
        const before = app.mailbox.messages.length;
        const shown = ({
          challengeId,
          expireTime,
          resendTime,
          ...rest
        }: Awaited<ReturnType<typeof ask>>) => ({
          ...rest,
          maskedDestination: rest.maskedDestination.replace(/\d\d$/, ''),
          spare: Math.round((Number(expireTime) - Number(resendTime)) / 1_000),
          id: challengeId.length,
        });
        const answer = await ask(app, person.address);
        const unseen = await ask(app, on.address());
        expect(shown(answer)).toEqual(shown(unseen));
        const texts = await textsSince(app, before, person.address);
        expect(texts).toHaveLength(due === 'nothing' ? 0 : 1);
        if (due === 'a code') expect(texts[0]).toMatch(CODE);
        if (due === 'a note')
          expect(texts[0]).toMatch(/not possible for this account|cannot be reset now/);
        if (due === 'a note') expect(texts[0]).not.toMatch(CODE);
        const guess = { challengeId: answer.challengeId, code: '000000' };
        const unseenGuess = { challengeId: unseen.challengeId, code: '000000' };
        const refusal = await refusalOf(app.auth.verifyPasswordResetCode(guess));
        const unseenRefusal = await refusalOf(app.auth.verifyPasswordResetCode(unseenGuess));
        expect([refusal.reason, refusal.metadata]).toEqual([
          unseenRefusal.reason,
          unseenRefusal.metadata,
        ]);
      },
    );

    it('recovers the account that holds the address, not one that has it as a contact', async () => {
      const person = await heldBy(app, on);
      const other = await contact(person);
      await resetBy(person.address);
      const signIn = (username: string) =>
        outcomeOf(app.auth.signIn({ identifier: username, password: NEW_PASSWORD }));
      expect(await signIn(person.username)).toBe('OK');
      expect(await signIn(other.username)).toBe('CREDENTIALS_INVALID');
    });

    it('recovers an account by its contact where nobody holds the address', async () => {
      const person = await heldBy(app, on);
      await identifier(person, sql`state = 'contact', sign_in_enabled = false`);
      await resetBy(person.address);
      const answer = await app.auth.signIn({ identifier: person.username, password: NEW_PASSWORD });
      expect(answer.accountId).toBe(person.accountId);
    });
  });

  it('refuses what is neither an email nor a phone by its shape, and charges nothing (R2)', async () => {
    const before = await rowCounts(app.db);
    const person = await signUp(app);
    for (const typed of [
      person.username,
      'nobody at all',
      '',
      '@',
      'x\0y',
      '09123',
      'a'.repeat(300),
    ]) {
      const refusal = await refusalOf(ask(app, typed));
      expect([refusal.reason, refusal.metadata['field']]).toEqual(['FIELD_INVALID', 'identifier']);
    }
    const { challenges = 0, outbox = 0 } = grown(before, await rowCounts(app.db));
    expect([challenges, outbox]).toEqual([0, 0]);
  });

  it('reads a national number by the region of the request, and refuses countries as everywhere', async () => {
    const person = await heldBy(app, channelOf.sms);
    await ask(app, `0${person.address.slice(3)}`, undefined, { region: 'vn' });
    expect(await messagesTo(app, person.address)).toHaveLength(2);
    expect(await reasonOf(ask(app, `0${person.address.slice(3)}`))).toBe('FIELD_INVALID');
    const strict = await house.open({ SMS_ALLOWED_REGIONS: 'SG' });
    expect(await reasonOf(ask(strict, person.address))).toBe('FIELD_INVALID');
  });

  it('writes in the account’s language, else in the request’s (M3)', async () => {
    const english = await heldBy(app, channelOf.email);
    await sql`update account_settings set locale = 'en' where account_id = ${english.accountId}`.execute(
      app.db,
    );
    const undecided = await heldBy(app, channelOf.email);
    for (const { address } of [english, undecided])
      await ask(app, address, undefined, { locale: 'vi' });
    expect((await messagesTo(app, english.address)).at(-1)?.locale).toBe('en');
    expect((await messagesTo(app, undecided.address)).at(-1)?.locale).toBe('vi');
    expect(await reasonOf(ask(app, english.address, undefined, { locale: '!' }))).toBe(
      'FIELD_INVALID',
    );
  });

  it('changes nothing on the account, and works while sign-in is locked (rule 16)', async () => {
    const person = await heldBy(app, channelOf.email);
    for (let tries = 0; tries < 5; tries += 1)
      await outcomeOf(app.auth.signIn({ identifier: person.address, password: 'wrong password' }));
    const state = () =>
      sql`select a.*, (select jsonb_agg(i) from identifiers i where i.account_id = a.account_id) as identifiers,
        (select jsonb_agg(s) from sessions s where s.account_id = a.account_id) as sessions
        from accounts a where account_id = ${person.accountId}`
        .execute(app.db)
        .then(({ rows }) => rows[0]);
    const before = await state();
    await ask(app, person.address);
    expect(await codeFor(app, person.address)).not.toBe(person.code);
    expect(await state()).toEqual(before);
    await app.auth.getAccount({}, person.session);
    const signIn = app.auth.signIn({ identifier: person.address, password: PASSWORD });
    expect(await reasonOf(signIn)).toBe('SIGN_IN_LOCKED');
  });

  it('tells a blocked account at most once an hour, and tries until it is told', async () => {
    const person = await heldBy(app, channelOf.email);
    await setStatus(app, person.accountId, 'blocked');
    const before = app.mailbox.messages.length;
    app.mailbox.failNext(1);
    await ask(app, person.address);
    await app.mailbox.waitFor(
      ({ to, text }) =>
        to === person.address && /not possible for this account|cannot be reset now/.test(text),
    );
    // Before the clock moves: what is not written down as sent would be sent once more.
    await delivered(app);
    for (const wait of [COOLDOWN, COOLDOWN]) {
      app.clock.advance(wait);
      await ask(app, person.address);
      expect((await lastInOutbox(app))?.state).toBe('dropped');
    }
    expect(await textsSince(app, before, person.address)).toHaveLength(1);
    app.clock.advance({ minutes: 59 });
    await ask(app, person.address);
    expect(await textsSince(app, before, person.address)).toHaveLength(2);
  });

  it('goes on with its own flow after the cooldown: the same id, another code, the old one dead', async () => {
    const { address } = await heldBy(app, channelOf.email);
    const first = await ask(app, address);
    const old = await codeFor(app, address);
    const early = await ask(app, address, first.challengeId);
    expect(early.challengeId).toBe(first.challengeId);
    expect(early.resendTime).toEqual(first.resendTime);
    expect(early.retryAfter).toBeGreaterThan(50);
    expect(await messagesTo(app, address)).toHaveLength(2);
    app.clock.advance(COOLDOWN);
    const again = await ask(app, address, first.challengeId);
    expect([again.challengeId, again.retryAfter]).toEqual([first.challengeId, undefined]);
    const code = await codeFor(app, address);
    const verify = (text: string) =>
      outcomeOf(app.auth.verifyPasswordResetCode({ challengeId: first.challengeId, code: text }));
    if (code !== old) expect(await verify(old)).toBe('CODE_INVALID');
    expect(await verify(code)).toBe('OK');
  });

  it.each(['another address', 'another caller', 'no flow at all'])(
    'begins a fresh flow, and sends nothing yet, where the id is of %s',
    async (whose) => {
      const { address } = await heldBy(app, channelOf.email);
      const client = whose === 'another caller' ? { auth: await otherCaller(app) } : app;
      const typed = whose === 'another address' ? unique.email() : address;
      const own =
        whose === 'no flow at all'
          ? '7b0f3c1e-6f0e-4b6f-9d5a-3d3b8f0f1a11'
          : (await ask(client, typed)).challengeId;
      app.clock.advance(COOLDOWN);
      await delivered(app);
      const before = app.mailbox.messages.length;
      const answer = await ask(app, address, own);
      expect(answer.challengeId).not.toBe(own);
      expect(answer.retryAfter).toBeGreaterThan(50);
      expect(await textsSince(app, before, address)).toEqual([]);
    },
  );

  it('lets one source ask once in a cooldown for one address: the same shape, and no message (T1, T4)', async () => {
    const client = { auth: await otherCaller(app) };
    const { address } = await heldBy(app, channelOf.email);
    const clientAddress = '198.51.100.77';
    const first = await ask(client, address, undefined, { clientAddress });
    await delivered(app);
    const before = app.mailbox.messages.length;
    const second = await ask(client, address, undefined, { clientAddress });
    expect(second.challengeId).not.toBe(first.challengeId);
    expect(second.retryAfter).toBeGreaterThan(50);
    expect(await textsSince(app, before, address)).toEqual([]);
    await ask(client, address, undefined, { clientAddress: '198.51.100.78' });
    expect(await textsSince(app, before, address)).toHaveLength(1);
  });

  it('sends nothing to an address that vanished between the request and the sending (R4)', async () => {
    const person = await heldBy(app, channelOf.email);
    await delivered(app);
    const [before, attempts] = [app.mailbox.messages.length, app.mailbox.attempts];
    app.mailbox.failNext(1);
    await ask(app, person.address);
    await vi.waitFor(() => expect(app.mailbox.attempts).toBeGreaterThan(attempts));
    await identifier(person, sql`state = 'lapsed'`);
    expect(await lastInOutbox(app)).toMatchObject({ state: 'dropped', attempts: 1 });
    expect(await textsSince(app, before, person.address)).toEqual([]);
  });

  it('draws another code for each attempt to send: one that may have been lost is dead', async () => {
    const { address } = await heldBy(app, channelOf.email);
    await delivered(app);
    const { attempts } = app.mailbox;
    app.mailbox.failNext(1);
    const { challengeId } = await ask(app, address);
    await vi.waitFor(() => expect(app.mailbox.attempts).toBeGreaterThan(attempts));
    const lost = await hashOf(challengeId);
    const code = await codeFor(app, address);
    expect(await hashOf(challengeId)).not.toBe(lost);
    await app.auth.verifyPasswordResetCode({ challengeId, code });
  });
  const hashOf = async (challengeId: string) => {
    const { rows } = await sql<{ hash: string }>`
      select encode(code_hash, 'hex') as hash from challenges where challenge_id = ${challengeId}::uuid`.execute(
      app.db,
    );
    return rows[0]?.hash ?? '';
  };
});
