import { sql } from 'kysely';
import { beforeEach, expect, it } from 'vitest';
import { deriveKeyRing, seal } from '../../src/core/keys.js';
import { LEASE_SECONDS, type OutgoingMessage } from '../../src/delivery/index.js';
import { eachDatabase } from '../support/databases.js';
import { createMailbox, type Mailbox } from '../support/mailbox.js';
import {
  codeMessage,
  dataKeys,
  insert,
  type MovableClock,
  movableClock,
  outboxOn,
  rowOf,
} from './fixtures.js';

const envelope = { channel: 'email', to: 'lan@example.vn', locale: 'en' } as const;
const day = { ...envelope, lifetimeSeconds: 24 * 3600 };
const contact = { contactType: 'phone', maskedAddress: '•••••••67' } as const;

const EVERY_KIND: { readonly [Kind in OutgoingMessage['kind']]: OutgoingMessage } = {
  verification_code: {
    ...day,
    kind: 'verification_code',
    variables: { purpose: 'sign_in', code: '493021', minutes: 5 },
  },
  contact_added: { ...day, kind: 'contact_added', variables: contact },
  contact_changed: { ...day, kind: 'contact_changed', variables: contact },
  contact_removed: { ...day, kind: 'contact_removed', variables: contact },
  sign_in_enabled: { ...day, kind: 'sign_in_enabled', variables: contact },
  sign_in_disabled: {
    ...day,
    kind: 'sign_in_disabled',
    variables: { contactType: 'username' },
  },
  password_changed: { ...day, kind: 'password_changed', variables: {} },
  password_reset: { ...day, kind: 'password_reset', variables: {} },
  account_closed: { ...day, kind: 'account_closed', variables: {} },
  sign_in_refused: { ...day, kind: 'sign_in_refused', variables: {} },
  reset_refused: { ...day, kind: 'reset_refused', variables: {} },
  confirmation_requested: { ...day, kind: 'confirmation_requested', variables: {} },
};

eachDatabase('sealed messages', (database) => {
  let mailbox: Mailbox;
  let clock: MovableClock;

  beforeEach(async () => {
    await sql`delete from outbox`.execute(database().db);
    mailbox = createMailbox();
    clock = movableClock();
  });

  it.each(Object.values(EVERY_KIND))(
    'say the same recovered as from memory: $kind',
    async (message) => {
      const { db } = database();
      await using outbox = outboxOn(db, clock, mailbox.transports);
      const [fromMemory, recovered] = [outbox.prepare(message), outbox.prepare(message)];
      await insert(db, clock, fromMemory);
      await insert(db, clock, recovered);
      // The time of the change and not that of sending; the second may be the next minute's first.
      await sql`update outbox set created_at = ${fromMemory.at}`.execute(db);
      outbox.dispatch([fromMemory]);
      await outbox.settled();
      clock.offsetMs += 2 * 3600 * 1000;
      expect(await outbox.recover()).toBe(1);
      await outbox.settled();
      const [first, second] = mailbox.messages;
      expect(second?.text).toBe(first?.text);
      expect(second?.html).toBe(first?.html);
      expect(await rowOf(db, clock, recovered.id)).toMatchObject({ state: 'sent' });
    },
  );

  it('open where the release before sealed a code, which had no purpose', async () => {
    const { db } = database();
    await using outbox = outboxOn(db, clock, mailbox.transports);
    const message = codeMessage();
    const prepared = outbox.prepare(message);
    const older = { ...message, variables: { code: '493021', minutes: 5 } };
    const ring = deriveKeyRing(dataKeys, 'outbox');
    const plain = Buffer.from(JSON.stringify(older));
    const sealed = seal(ring, Buffer.alloc(12, 3), `outbox:${prepared.id}`, plain);
    await insert(db, clock, { ...prepared, sealed });
    clock.offsetMs += LEASE_SECONDS * 1000;
    await outbox.recover();
    await outbox.settled();
    expect(mailbox.messages.map(({ text }) => text)).toEqual([
      '493021 is your Countersign code, valid for 5 minutes. Never share it with anyone.',
    ]);
  });
});
