import { describe, expect, it } from 'vitest';
import { Lifetime } from '../../src/core/lifetime.js';
import { silentLog } from '../support/databases.js';

function watched() {
  const errors: string[] = [];
  const closed: string[] = [];
  const lifetime = new Lifetime({
    ...silentLog,
    error: (fields: object, text: string) =>
      void errors.push(`${'stage' in fields ? fields.stage : ''}: ${text}`),
  });
  const part = (name: string, close: () => Promise<void> = async () => {}): AsyncDisposable => ({
    [Symbol.asyncDispose]: () => close().then(() => void closed.push(name)),
  });
  return { lifetime, part, errors, closed };
}

describe('a lifetime', () => {
  it('closes what was opened last first', async () => {
    const { lifetime, part, closed, errors } = watched();
    for (const name of ['database', 'outbox', 'server']) {
      lifetime.stage(name, 1_000);
      lifetime.use(part(name));
    }
    await lifetime[Symbol.asyncDispose]();
    expect(closed).toEqual(['server', 'outbox', 'database']);
    expect(errors).toEqual([]);
    await lifetime[Symbol.asyncDispose]();
    expect(closed).toHaveLength(3);
  });

  it('closes the rest where one part fails, and where one never ends', async () => {
    const { lifetime, part, closed, errors } = watched();
    lifetime.stage('database', 1_000);
    lifetime.use(part('database'));
    lifetime.stage('workers', 20);
    lifetime.use(part('stuck', () => new Promise(() => {})));
    lifetime.use(part('idle'));
    lifetime.stage('server', 1_000);
    lifetime.use(part('server', () => Promise.reject(new Error('no'))));
    await lifetime[Symbol.asyncDispose]();
    expect(closed).toEqual(['idle', 'database']);
    expect(errors).toEqual([
      'server: closing failed',
      'workers: not closed in time, and left behind',
    ]);
  });
});
