import { expect, it } from 'vitest';
import { describePostgres } from '../support/databases.js';
import { compareDeliveries, crashRounds, halfMade, recoverAll } from './crash-rounds.js';
import { temporaryFolder } from './process.js';

const ROUNDS = 8;

describePostgres('a server that is killed at random moments of sign-up and sending', (database) => {
  it('leaves nothing half-made and loses no message (A1, M4)', { timeout: 180_000 }, async () => {
    await using folder = await temporaryFolder();
    const { db, url } = database();
    const place = { db, url, folder: folder.path };
    const rounds = await crashRounds(place, ROUNDS);
    expect(await halfMade(db)).toEqual([]);
    await recoverAll(place, rounds, { overdue: true });
    const deliveries = await compareDeliveries(db, rounds);
    expect(deliveries.lost).toEqual([]);
    expect(deliveries.vanished).toEqual([]);
    expect(deliveries.messages).toBeGreaterThan(deliveries.accounts);
    // The kills came in the midst of it: else nothing was shown.
    expect(deliveries.accounts).toBeGreaterThan(ROUNDS);
    expect(deliveries.accounts).toBeLessThan(rounds.attempts.length);
    expect(rounds.leftBehind).toBeGreaterThan(0);
    expect(await halfMade(db)).toEqual([]);
  });
});
