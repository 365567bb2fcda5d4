import { Client } from 'pg';

/**
 * Calls `listener` for every query of this process at the last place before the wire, with what the
 * driver was given and what it gives back. Nothing is rewritten or imitated.
 */
export function onQuery(
  listener: (query: unknown, answer: unknown, sentAtMs: number) => void,
): Disposable {
  // The driver's own method, which has many shapes.
  const original: unknown = Reflect.get(Client.prototype, 'query');
  if (typeof original !== 'function') throw new Error('pg names its method otherwise now');
  Reflect.set(Client.prototype, 'query', function query(this: Client, ...args: unknown[]): unknown {
    const sentAtMs = performance.now();
    const answer: unknown = Reflect.apply(original, this, args);
    listener(args[0], answer, sentAtMs);
    return answer;
  });
  return { [Symbol.dispose]: () => void Reflect.set(Client.prototype, 'query', original) };
}
