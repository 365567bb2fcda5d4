/** What a call asks of Redis: the limits that it is charged to, and the sources that are remembered with them. */
import { isDeepStrictEqual } from 'node:util';
import { Redis } from 'ioredis';
import type { ChargesTemplate, Part } from '../floors/charges.js';

/** Scripts by their hash, as they were sent: hash, number of keys, keys, arguments. */
export type SentScript = readonly string[];

/** Notes every script that this process has a Redis run, by its hash. */
export function recordScripts(): Disposable & { readonly scripts: readonly SentScript[] } {
  const scripts: SentScript[] = [];
  const send = Redis.prototype.sendCommand;
  Redis.prototype.sendCommand = function (command, stream) {
    if (command.name === 'evalsha') scripts.push(command.args.map(String));
    return send.call(this, command, stream);
  };
  return {
    scripts,
    [Symbol.dispose]: () => {
      Redis.prototype.sendCommand = send;
    },
  };
}

/** Two people's charges side by side: what differs is a hash of what they are, or the time. */
export function chargesOf(
  prefix: string,
  one: readonly SentScript[],
  other: readonly SentScript[],
): ChargesTemplate {
  const shapes = [one, other].map((all) => all.map((script) => script.slice(0, 2)));
  if (one.length === 0 || !isDeepStrictEqual(shapes[0], shapes[1])) {
    throw new Error('two people are charged differently, or not at all');
  }
  const hashes = new Map<string, number>();
  const partOf = (left: string, right: string): Part => {
    if (left === right) return left;
    if (/^\d{13}$/.test(left) && /^\d{13}$/.test(right)) return { now: true };
    if (left.length !== right.length || !/^[\w-]{12,22}$/.test(left)) {
      throw new Error('charges differ from person to person in more than a hash');
    }
    const nth = hashes.get(left) ?? hashes.size;
    hashes.set(left, nth);
    return { hash: nth, length: left.length };
  };
  const split = (text: string) => text.split(/([:{}])/);
  const commands = one.map((script, i) =>
    script.map((text, at) => {
      const isKey = at > 1 && at < 2 + Number(script[1]);
      const [left, right] = [text, other[i]?.[at] ?? ''].map((each) =>
        split(isKey ? withoutPrefix(each, prefix) : each),
      );
      return { isKey, parts: (left ?? []).map((part, n) => partOf(part, right?.[n] ?? '')) };
    }),
  );
  return { commands };
}

function withoutPrefix(key: string, prefix: string): string {
  if (key.startsWith(prefix)) return key.slice(prefix.length);
  throw new Error('a key without the prefix of this run');
}
