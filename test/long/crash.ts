import { expect, it } from 'vitest';
import {
  compareDeliveries,
  crashRounds,
  halfMade,
  recoverAll,
} from '../resilience/crash-rounds.js';
import { temporaryFolder } from '../resilience/process.js';
import { describePostgres } from '../support/databases.js';

const ROUNDS = 100;

describePostgres(`a server that is killed ${ROUNDS} times`, (database) => {
  it('leaves nothing half-made and loses no message, by leases alone (A1, M4)', async () => {
    await using folder = await temporaryFolder();
    const { db, url } = database();
    const place = { db, url, folder: folder.path };
    const rounds = await crashRounds(place, ROUNDS);
    expect(await halfMade(db)).toEqual([]);
    await recoverAll(place, rounds, { overdue: false });
    const { lost, vanished, ...figures } = await compareDeliveries(db, rounds);
    const { attempts, leftBehind } = rounds;
    console.log(
      'crash',
      JSON.stringify({ rounds: ROUNDS, attempts: attempts.length, leftBehind, ...figures }),
    );
    expect(lost).toEqual([]);
    expect(vanished).toEqual([]);
    expect(await halfMade(db)).toEqual([]);
    // Sends were committed too, beside sign-ups, and kills came before their delivery.
    expect(figures.messages).toBeGreaterThan(figures.accounts);
    expect(leftBehind).toBeGreaterThan(0);
  });
});
