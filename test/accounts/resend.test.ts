import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { Channel } from '../../generated/countersign/v1/challenge.js';
import { eachDatabase } from '../support/databases.js';
import { type signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';
import {
  addressesOf,
  type Claimant,
  claimant,
  codeFor,
  delivered,
  email,
  guessWrong,
  type House,
  holder,
  messagesTo,
  newCaller,
  openHouse,
  refusalOf,
} from './house.js';
import { outboxOf, resend } from './resending.js';

const COOLDOWN = { seconds: 61 };
const CODE = /(?<![0-9])(?:[0-9]{20}|[0-9]{6})(?![0-9])/;

/** V8. What the answers have in common, byte by byte, is shown in test/security/enumeration.test.ts. */
eachDatabase('sending the confirmation of an email again, anonymously', (database) => {
  let house: House;
  let app: TestApp;
  beforeAll(async () => {
    house = await openHouse(database());
    app = house.app;
  });
  afterAll(() => house[Symbol.asyncDispose]());

  /** Somebody with an unproven email whose cooldown is over. */
  const waiting = async (fields: Parameters<typeof signUp>[1] = {}): Promise<Claimant> => {
    const person = await claimant(app, email, unique.email(), fields);
    app.clock.advance(COOLDOWN);
    return person;
  };
  const reasonOf = async (call: Promise<unknown>) => (await refusalOf(call)).reason;
  const stateOf = async (person: Claimant) => (await addressesOf(app, person.accountId))[0]?.state;
  const textsTo = async (to: string) => (await messagesTo(app, to)).map(({ text }) => text);
  const update = (person: Claimant, change: ReturnType<typeof sql>) =>
    sql`update ${change} and account_id = ${person.accountId}::uuid`.execute(app.db);

  describe('with the handle of the claim', () => {
    it('sends another code, and the handle and that code prove the address', async () => {
      const person = await waiting();
      const sent = await resend(app, person.address, person.challengeId);
      expect(sent).toMatchObject({
        challengeId: person.challengeId,
        channel: Channel.EMAIL,
        maskedDestination: 'u•••@e•••.com',
        retryAfter: undefined,
      });
      const code = await codeFor(app, person.address);
      expect(await messagesTo(app, person.address)).toHaveLength(2);
      const { identifier } = await app.auth.confirmEmail({ challengeId: sent.challengeId, code });
      expect(identifier).toMatchObject({ value: person.address, verified: true });
      expect(await stateOf(person)).toBe('verified');
    });

    it('the code before it is dead, at once', async () => {
      const person = await waiting();
      await resend(app, person.address, person.challengeId);
      const fresh = await codeFor(app, person.address);
      if (fresh === person.code) return;
      const { challengeId, code } = person;
      expect(await reasonOf(app.auth.confirmEmail({ challengeId, code }))).toBe('CODE_INVALID');
      expect(await reasonOf(app.auth.confirmEmail({ code }, person.session))).toBe('CODE_INVALID');
      await app.auth.confirmEmail({ code: fresh }, person.session);
      expect(await stateOf(person)).toBe('verified');
    });

    it('shares its cooldown with the signed-in send, both ways', async () => {
      const person = await waiting();
      await resend(app, person.address, person.challengeId);
      expect(await reasonOf(email.send(app, person.session))).toBe('RESEND_TOO_SOON');
      await delivered(app);
      app.clock.advance(COOLDOWN);
      await email.send(app, person.session);
      const code = await codeFor(app, person.address);
      app.clock.advance({ seconds: 20 });
      const held = await resend(app, person.address, person.challengeId);
      expect(held.challengeId).toBe(person.challengeId);
      expect(held.retryAfter).toBeGreaterThan(35);
      expect(held.retryAfter).toBeLessThanOrEqual(40);
      expect(await messagesTo(app, person.address)).toHaveLength(3);
      // What is held back kills nothing.
      await app.auth.confirmEmail({ challengeId: person.challengeId, code });
      expect(await stateOf(person)).toBe('verified');
    });

    it('sends to an address that lapsed, and proves it again', async () => {
      const person = await holder(app, email);
      await update(person, sql`identifiers set state = 'lapsed' where type = 'email'`);
      app.clock.advance(COOLDOWN);
      await resend(app, person.address, person.challengeId);
      const code = await codeFor(app, person.address);
      await app.auth.confirmEmail({ challengeId: person.challengeId, code });
      expect(await stateOf(person)).toBe('verified');
    });

    it('sends a long code while the address is shut for strangers, and it is judged', async () => {
      const person = await waiting();
      const { challengeId } = person;
      await guessWrong(app, email, { challengeId, code: person.code }, 5);
      await resend(app, person.address, challengeId);
      const code = await codeFor(app, person.address);
      expect(code).toMatch(/^\d{20}$/);
      await app.auth.confirmEmail({ challengeId, code });
      expect(await stateOf(person)).toBe('verified');
    });

    it("writes in the account's language, else the request's, else the call's", async () => {
      const chosen = await waiting({ locale: 'en' });
      await resend(app, chosen.address, chosen.challengeId, { locale: 'vi' });
      const free = await waiting();
      await resend(app, free.address, free.challengeId, { locale: 'vi', acceptLanguage: 'en' });
      const silent = await waiting();
      await resend(app, silent.address, silent.challengeId, { acceptLanguage: 'vi' });
      await delivered(app);
      const localeTo = (to: string) =>
        app.mailbox.messages.findLast((message) => message.to === to)?.locale;
      expect([chosen, free, silent].map(({ address }) => localeTo(address))).toEqual([
        'en',
        'vi',
        'vi',
      ]);
    });

    it('makes a new code for each attempt to send, of which the last works', async () => {
      const person = await waiting();
      app.mailbox.failNext(1);
      await resend(app, person.address, person.challengeId);
      app.clock.advance({ seconds: 5 });
      const code = await codeFor(app, person.address);
      expect(await messagesTo(app, person.address)).toHaveLength(2);
      await app.auth.confirmEmail({ challengeId: person.challengeId, code });
      expect(await outboxOf(app)).toMatchObject({ state: 'sent', attempts: 1 });
    });

    it('leaves a record of the request, of the code and of the proof (T6)', async () => {
      const person = await waiting();
      const requestId = randomUUID();
      await resend(app, person.address, person.challengeId, { requestId });
      await delivered(app);
      const { rows } = await sql`select action, account_id, outcome, detail from audit_events
        where kind = 'change' and request_id = ${requestId} order by action`.execute(app.db);
      const told = { outcome: 'ok', detail: { channel: 'email', purpose: 'verify' } };
      expect(rows).toEqual([
        { action: 'code_requested', account_id: null, ...told },
        { action: 'code_sent', account_id: person.accountId, ...told },
      ]);
    });
  });

  describe('sends no code', () => {
    /** The answer tells nothing, no message holds a code, and what was sent before still works. */
    async function expectNone(
      person: Pick<Claimant, 'address'>,
      asked: { readonly address?: string; readonly challengeId?: string },
      notes: number,
      from: Pick<TestApp, 'auth'> = app,
    ) {
      const to = asked.address ?? person.address;
      const before = (await textsTo(to)).length;
      const answer = await resend(from, to, asked.challengeId);
      const texts = (await textsTo(to)).slice(before);
      expect(texts.filter((text) => CODE.test(text))).toEqual([]);
      expect(texts).toHaveLength(notes);
      expect(await outboxOf(app)).toMatchObject({ state: notes === 0 ? 'dropped' : 'sent' });
      return answer;
    }

    it('to an address that nobody has named here: nothing at all', async () => {
      const answer = await expectNone({ address: unique.email() }, {}, 0);
      expect(answer).toMatchObject({ channel: Channel.EMAIL, retryAfter: undefined });
    });

    it('to a claimed address without the handle: a note, once within the hour', async () => {
      const person = await waiting();
      await expectNone(person, {}, 1);
      const [, note] = await messagesTo(app, person.address);
      expect(note?.subject).toContain('asked to confirm this email address');
      await expectNone(person, {}, 0);
      app.clock.advance({ minutes: 59 });
      await expectNone(person, {}, 0);
      app.clock.advance({ minutes: 2 });
      await expectNone(person, {}, 1);
      // The code of the claim was never touched, but it has expired by now.
      expect(await stateOf(person)).toBe('claimed');
    });

    it('to a claimed address without the handle: the code of the claim lives on', async () => {
      const person = await waiting();
      await expectNone(person, {}, 1);
      await email.confirm(app, person);
      expect(await stateOf(person)).toBe('verified');
    });

    it('to a verified address: a note, with its handle too', async () => {
      const person = await holder(app, email);
      app.clock.advance(COOLDOWN);
      const answer = await expectNone(person, { challengeId: person.challengeId }, 1);
      expect(answer.challengeId).toBe(person.challengeId);
      expect(await reasonOf(email.confirm(app, person))).toBe('CODE_INVALID');
    });

    it('one note, where several accounts name the address', async () => {
      const person = await holder(app, email);
      await claimant(app, email, person.address);
      await claimant(app, email, person.address);
      await expectNone(person, {}, 1);
      await expectNone(person, {}, 0);
    });

    it('for a made-up handle: a new flow, which sends nothing before its cooldown is over', async () => {
      const person = await waiting();
      const madeUp = randomUUID();
      const before = await messagesTo(app, person.address);
      const held = await resend(app, person.address, madeUp);
      expect(held.challengeId).not.toBe(madeUp);
      expect(held.retryAfter).toBeGreaterThan(55);
      await delivered(app);
      app.clock.advance(COOLDOWN);
      const again = await expectNone(person, { challengeId: held.challengeId }, 1);
      expect(again).toMatchObject({ challengeId: held.challengeId, retryAfter: undefined });
      expect(await messagesTo(app, person.address)).toHaveLength(before.length + 1);
    });

    it('for the handle of another account', async () => {
      const [person, other] = [await waiting(), await waiting()];
      const answer = await resend(app, person.address, other.challengeId);
      expect(answer.challengeId).not.toBe(other.challengeId);
      expect(await messagesTo(app, person.address)).toHaveLength(1);
      expect(await messagesTo(app, other.address)).toHaveLength(1);
      await email.confirm(app, other);
      expect(await stateOf(other)).toBe('verified');
    });

    it('for the handle that another calling service got', async () => {
      const person = await waiting();
      const callerKey = await newCaller(app);
      const foreign = { auth: app.connect({ callerKey }) };
      const answer = await resend(foreign, person.address, person.challengeId);
      expect(answer.challengeId).not.toBe(person.challengeId);
      expect(await messagesTo(app, person.address)).toHaveLength(1);
      await email.confirm(app, person);
      expect(await stateOf(person)).toBe('verified');
    });

    it('to another address with a good handle: to neither of the two', async () => {
      const [person, other] = [await waiting(), unique.email()];
      const answer = await resend(app, other, person.challengeId);
      expect(answer.challengeId).not.toBe(person.challengeId);
      expect(await messagesTo(app, other)).toEqual([]);
      expect(await messagesTo(app, person.address)).toHaveLength(1);
      await email.confirm(app, person);
      expect(await stateOf(person)).toBe('verified');
    });

    it.each(['blocked', 'deactivated'])('for an account that is %s: a note', async (status) => {
      const person = await waiting();
      await update(person, sql`accounts set status = ${status} where true`);
      await expectNone(person, { challengeId: person.challengeId }, 1);
    });

    it('for an account that an operator blocked: a note, and unblocking brings the handle back to nothing', async () => {
      const person = await waiting();
      await update(
        person,
        sql`accounts set status = 'blocked',
        proof_epoch = proof_epoch + 1, session_epoch = session_epoch + 1 where true`,
      );
      await expectNone(person, { challengeId: person.challengeId }, 1);
      await update(person, sql`accounts set status = 'active' where true`);
      app.clock.advance(COOLDOWN);
      await expectNone(person, { challengeId: person.challengeId }, 0);
      expect(await stateOf(person)).toBe('claimed');
    });

    it("once the account's proof epoch has risen: a thief's claim does not outlive a new password", async () => {
      const person = await waiting();
      await update(person, sql`accounts set proof_epoch = proof_epoch + 1 where true`);
      await expectNone(person, { challengeId: person.challengeId }, 1);
      expect(await stateOf(person)).toBe('claimed');
    });

    it('once the claim is gone: nothing, where nobody else names the address', async () => {
      const person = await waiting();
      await update(person, sql`identifiers set value = ${unique.email()} where type = 'email'`);
      await expectNone(person, { challengeId: person.challengeId }, 0);
    });

    it('where the account claimed another address before the message was sent: its new code lives', async () => {
      const person = await holder(app, email);
      await update(person, sql`identifiers set state = 'lapsed' where type = 'email'`);
      app.clock.advance(COOLDOWN);
      app.mailbox.failNext(1);
      await resend(app, person.address, person.challengeId);
      const changed = unique.email();
      await sql`update challenges set resend_at = issued_at
        where challenge_id = ${person.challengeId}::uuid`.execute(app.db);
      await email.send(app, person.session, changed);
      app.clock.advance({ seconds: 5 });
      const code = await codeFor(app, changed);
      const told = await textsTo(person.address);
      expect(told.filter((text) => CODE.test(text))).toHaveLength(1);
      await app.auth.confirmEmail({ challengeId: person.challengeId, code });
      expect(await addressesOf(app, person.accountId)).toMatchObject([
        { value: changed, state: 'verified' },
      ]);
    });

    it('and a note that could not be sent is sent later', async () => {
      const person = await waiting();
      app.mailbox.failNext(1);
      await resend(app, person.address);
      app.clock.advance({ seconds: 5 });
      expect(await messagesTo(app, person.address)).toHaveLength(2);
      await expectNone(person, {}, 0);
    });
  });

  it('guesses at a flow without a code are judged like any, and never right', async () => {
    const to = unique.email();
    const { challengeId } = await resend(app, to);
    await delivered(app);
    for (const left of ['4', '3', '2', '1', '0']) {
      const refused = await refusalOf(app.auth.confirmEmail({ challengeId, code: '000000' }));
      expect(refused).toMatchObject({ reason: 'CODE_INVALID', metadata: { attempts_left: left } });
    }
    const locked = await refusalOf(app.auth.confirmEmail({ challengeId, code: '123456' }));
    expect(locked.reason).toBe('VERIFICATION_LOCKED');
  });

  it('refuses what is no email, before anything is charged', async () => {
    const tight = await house.open({ LIMIT_ANONYMOUS_IN_ALL: '1/1h' });
    for (const address of ['', 'no email', `"quoted"@example.com`]) {
      expect(await reasonOf(resend(tight, address))).toBe('EMAIL_INVALID');
    }
    expect((await resend(tight, unique.email())).retryAfter).toBeUndefined();
  });
});
