/** The rounds, from the first, whose two calls are in turn: so many more than those at once. */
export const ROUNDS_IN_TURN = 2;

/**
 * Two calls of one round of a race. The first two rounds are in turn, each call first in one of
 * them, so that a test may ask for both outcomes on a machine that always favours one; in all others
 * they are in flight at once, and take turns in who is started first.
 */
export async function race<A, B>(
  round: number,
  one: () => Promise<A>,
  other: () => Promise<B>,
): Promise<readonly [PromiseSettledResult<A>, PromiseSettledResult<B>]> {
  const oneFirst = round % 2 === 0;
  if (round >= ROUNDS_IN_TURN) {
    if (oneFirst) return Promise.allSettled([one(), other()]);
    const earlier = other();
    return Promise.allSettled([one(), earlier]);
  }
  if (oneFirst) {
    const [earlier] = await Promise.allSettled([one()]);
    return [earlier, ...(await Promise.allSettled([other()]))];
  }
  const [earlier] = await Promise.allSettled([other()]);
  return [...(await Promise.allSettled([one()])), earlier];
}
