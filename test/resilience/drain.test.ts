import { expect, it } from 'vitest';
import { describePostgres } from '../support/databases.js';
import { drainRound } from './drain-rounds.js';
import { temporaryFolder } from './process.js';

const ROUNDS = 5;

describePostgres('a server that is told to stop under load', (database) => {
  it('answers every call that it had, flushes, and ends with 0 (O6)', {
    timeout: 180_000,
  }, async () => {
    await using folder = await temporaryFolder();
    const { db, url } = database();
    for (let round = 0; round < ROUNDS; round += 1) {
      const { underWay, late, answeredAfterHealth, ...told } = await drainRound({
        db,
        url,
        folder: folder.path,
      });
      expect(new Set(underWay)).toEqual(new Set(['OK']));
      for (const outcome of late) expect(['OK', 'UNAVAILABLE']).toContain(outcome);
      expect(answeredAfterHealth).toBeGreaterThan(0);
      expect(told).toEqual({
        exit: 0,
        healthSeen: ['serving', 'not serving'],
        disagreeing: [],
        unsent: [],
        unrecorded: 0,
        queued: 0,
        stopped: true,
      });
    }
  });
});
