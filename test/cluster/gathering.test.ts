import { expect, it, vi } from 'vitest';
import { createGathering } from '../../src/cluster/gathering.js';

/** A worker that answers with its pid, or `never`. */
function workerOf(gathering: ReturnType<typeof createGathering>, pid: number, answers = true) {
  const ask = (id: number): void => {
    if (answers) queueMicrotask(() => gathering.answered(pid, id, pid));
  };
  return { pid, place: pid + 10, ask };
}

it('waits for one answer of each worker', async () => {
  const gathering = createGathering();
  const workers = [1, 2, 3].map((pid) => workerOf(gathering, pid));
  expect(await gathering.gather(workers)).toEqual(
    [1, 2, 3].map((pid) => ({ place: pid + 10, answer: pid })),
  );
  expect(await createGathering().gather([])).toEqual([]);
});

it('leaves out who does not answer in time, or dies meanwhile', async () => {
  const gathering = createGathering(20);
  const [one, silent] = [workerOf(gathering, 1), workerOf(gathering, 2, false)];
  const incomplete = [{ place: 11, answer: 1 }];
  expect(await gathering.gather([one, silent])).toEqual(incomplete);
  const patient = createGathering(60_000);
  const round = patient.gather([workerOf(patient, 1), workerOf(patient, 2, false)]);
  patient.left(2);
  expect(await round).toEqual(incomplete);
});

it('asks once for all who want to know within a moment', async () => {
  const gathering = createGathering();
  let asked = 0;
  const workers = [1, 2].map((pid) => {
    const worker = workerOf(gathering, pid);
    const ask = (id: number): void => {
      asked += 1;
      worker.ask(id);
    };
    return { ...worker, ask };
  });
  const rounds = await Promise.all(workers.map(() => gathering.gather(workers)));
  rounds.push(await gathering.gather(workers));
  expect(asked).toBe(2);
  expect(rounds.map(({ length }) => length)).toEqual([2, 2, 2]);
  await vi.waitFor(async () => {
    await gathering.gather(workers);
    expect(asked).toBe(4);
  });
});

it('takes no second answer, none of a stranger, and none that comes too late', async () => {
  const gathering = createGathering(20);
  let late = 0;
  const round = gathering.gather([
    {
      pid: 1,
      place: 1,
      ask: (id) => {
        late = id;
        gathering.answered(7, id, 'of a stranger');
        gathering.answered(1, id + 1, 'of another round');
      },
    },
  ]);
  expect(await round).toEqual([]);
  gathering.answered(1, late, 'too late');
});
