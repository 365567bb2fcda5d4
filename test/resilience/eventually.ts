import { setTimeout as delay } from 'node:timers/promises';

/**
 * Waits for something that other processes bring about: asks again until the answer is neither
 * undefined nor false. The bound is only there to end a test that will never succeed.
 */
export async function eventually<T>(
  what: string,
  ask: () => Promise<T | undefined | false>,
  timeoutMs = 30_000,
): Promise<T> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const answer = await ask();
    if (answer !== undefined && answer !== false) return answer;
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms: ${what}`);
    await delay(50);
  }
}
