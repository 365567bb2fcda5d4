import { afterAll, beforeAll, expect, it } from 'vitest';
import { eachDatabase } from '../support/databases.js';
import { startTestApp, type TestApp } from '../support/test-app.js';
import { cells, doorOf, type Matrix, nameOf, openMatrix, pairs } from './code-matrix.js';

const WIDE = '1000000/1h';
const SETTINGS = {
  CODE_TTL: '10m',
  RESEND_COOLDOWN: '1s',
  LIMIT_SENDS_PER_ADDRESS_SHORT: WIDE,
  LIMIT_SENDS_PER_ADDRESS_LONG: WIDE,
};

eachDatabase('a code is for one thing', (database) => {
  let app: TestApp;
  let matrix: Matrix;
  beforeAll(async () => {
    app = await startTestApp({ database: database(), env: SETTINGS });
    matrix = await openMatrix(app);
  });
  afterAll(async () => {
    await app[Symbol.asyncDispose]();
  });

  it('and is refused for every other', { timeout: 240_000 }, async () => {
    const accepted: string[] = [];
    const counts = { code: 0, handle: 0, binding: 0 };
    const refuse = async (how: keyof typeof counts, name: string, shown: Promise<string>) => {
      counts[how] += 1;
      const answer = await shown;
      // A foreign handle is unknown here; a live one has another code.
      if (answer !== (how === 'handle' ? 'CODE_EXPIRED' : 'CODE_INVALID'))
        accepted.push(`${how}: ${name}: ${answer}`);
    };
    for (const { from, to } of pairs) {
      const theirs = await matrix.issue(from);
      const here = await matrix.issue(to, theirs);
      const name = `${nameOf(from)}, shown as ${nameOf(to)}`;
      await matrix.arrange(to);
      await refuse('code', name, matrix.show(to, { ...here, code: theirs.code }));
      if (doorOf(from) !== doorOf(to)) await refuse('handle', name, matrix.show(to, theirs));
      // Were the rows mixed up, the hash itself would still say what it is for.
      await matrix.graft(theirs, here, () => refuse('binding', name, matrix.show(to, theirs)));
    }
    expect(accepted).toEqual([]);
    expect(cells).toHaveLength(30);
    expect(counts).toEqual({ code: 870, handle: 696, binding: 870 });

    // With the same codes, or the refusals would say nothing.
    for (const cell of cells) {
      const own = await matrix.issue(cell);
      await matrix.arrange(cell);
      expect([nameOf(cell), await matrix.show(cell, own)]).toEqual([nameOf(cell), 'OK']);
      matrix.used(cell);
    }
  });
});
