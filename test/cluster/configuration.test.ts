import { describe, expect, it } from 'vitest';
import { ConfigError, loadConfig } from '../../src/config/index.js';

function problems(env: Record<string, string>): readonly string[] {
  try {
    loadConfig(env);
    return [];
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    return error.problems.map(({ name, wrong, remedy }) => `${name}: ${wrong}. ${remedy}.`);
  }
}

const DATABASE = { DATABASE_URL: 'postgres://db.example/countersign' };
const REDIS = { REDIS_URL: 'redis://redis.example' };

describe('WORKERS', () => {
  it('is one without a word, on whatever database', () => {
    expect(loadConfig({}).workers).toBe(1);
    expect(problems({ WORKERS: '1' })).toEqual([]);
  });

  it('needs a database and limits that processes can share, on loopback too (rule 24)', () => {
    expect(problems({ WORKERS: '3' })).toEqual([
      'WORKERS: 3 processes cannot share the embedded database, which serves one. Set DATABASE_URL, or leave WORKERS at 1.',
      'WORKERS: 3 processes would each count limits in a memory of their own. Set REDIS_URL, leave WORKERS at 1, or permit it with ALLOW_MEMORY_LIMITS=true.',
    ]);
    expect(problems({ WORKERS: '3', ...DATABASE })).toHaveLength(1);
    expect(problems({ WORKERS: '3', ...REDIS })).toHaveLength(1);
    expect(problems({ WORKERS: '3', ...DATABASE, ...REDIS })).toEqual([]);
  });

  it('may count in memory by permission, but never share the embedded database', () => {
    const permitted = { ALLOW_MEMORY_LIMITS: 'true', ALLOW_EMBEDDED_DATABASE: 'true' };
    expect(problems({ WORKERS: '3', ...DATABASE, ...permitted })).toEqual([]);
    expect(problems({ WORKERS: '3', ...permitted })).toHaveLength(1);
  });

  it.each(['0', '65', '1.5', 'two'])('refuses %s', (value) => {
    expect(problems({ WORKERS: value })).toHaveLength(1);
  });
});
