import { expect, it } from 'vitest';
import { drainRound } from '../resilience/drain-rounds.js';
import { temporaryFolder } from '../resilience/process.js';
import { describePostgres } from '../support/databases.js';

const ROUNDS = 100;

describePostgres(`a server that is stopped ${ROUNDS} times under load`, (database) => {
  it('answers every call that it had, flushes, and ends with 0 (O6)', async () => {
    await using folder = await temporaryFolder();
    const { db, url } = database();
    let answered = 0;
    let refused = 0;
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
      answered += underWay.length + late.filter((outcome) => outcome === 'OK').length;
      refused += late.filter((outcome) => outcome !== 'OK').length;
    }
    console.log('drain', JSON.stringify({ rounds: ROUNDS, answered, refused }));
  });
});
