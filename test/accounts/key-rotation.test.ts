import { randomBytes } from 'node:crypto';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { eachDatabase } from '../support/databases.js';
import { addressesOf, channels, claimant, type House, openHouse, refusalOf } from './house.js';

const newKey = () => randomBytes(32).toString('base64');

eachDatabase('rotation of CODE_KEYS (rule 1)', (database) => {
  let house: House;
  beforeAll(async () => {
    house = await openHouse(database());
  });
  afterAll(() => house[Symbol.asyncDispose]());

  describe.each(channels)('by $channel', (on) => {
    it('verifies codes of the old key after a restart with a new one in front', async () => {
      const [old, fresh] = [newKey(), newKey()];
      const before = await house.open({ CODE_KEYS: old });
      const person = await claimant(before, on);
      const wrong = await claimant(before, on);
      await before[Symbol.asyncDispose]();
      const after = await house.open({ CODE_KEYS: `${fresh},${old}` });
      await on.confirm(after, { challengeId: person.challengeId, code: person.code });
      expect(await addressesOf(after, person.accountId)).toMatchObject([{ state: 'verified' }]);
      if (wrong.code !== person.code) {
        const guess = { challengeId: wrong.challengeId, code: person.code };
        expect(await refusalOf(on.confirm(after, guess))).toMatchObject({ reason: 'CODE_INVALID' });
      }
      // What is sent now is under the new key, and needs the old one no more.
      const later = await claimant(after, on);
      await after[Symbol.asyncDispose]();
      const alone = await house.open({ CODE_KEYS: fresh });
      await on.confirm(alone, { challengeId: later.challengeId, code: later.code });
      await alone[Symbol.asyncDispose]();
    });

    it('refuses codes of a key that is gone, and counts them', async () => {
      const before = await house.open({ CODE_KEYS: newKey() });
      const { challengeId, code, accountId } = await claimant(before, on);
      await before[Symbol.asyncDispose]();
      await using after = await house.open({ CODE_KEYS: newKey() });
      expect(await refusalOf(on.confirm(after, { challengeId, code }))).toMatchObject({
        reason: 'CODE_INVALID',
        metadata: { attempts_left: '4' },
      });
      expect(await addressesOf(after, accountId)).toMatchObject([{ state: 'claimed' }]);
    });

    it('keeps locks over a rotation: the budgets are under another secret, which never rotates', async () => {
      const before = await house.open({ CODE_KEYS: newKey() });
      const person = await claimant(before, on);
      const { challengeId, code } = person;
      for (let n = 1; n <= 5; n += 1) {
        const wrong = String((Number(code) + n) % 1_000_000).padStart(6, '0');
        await refusalOf(on.confirm(before, { challengeId, code: wrong }));
      }
      await before[Symbol.asyncDispose]();
      await using after = await house.open({ CODE_KEYS: newKey() });
      expect(await refusalOf(on.confirm(after, { challengeId, code }))).toMatchObject({
        reason: 'VERIFICATION_LOCKED',
      });
      const newcomer = await claimant(after, on, person.address);
      expect(newcomer.code).toHaveLength(20);
    });
  });
});
