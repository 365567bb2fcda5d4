import { describe, expect, it } from 'vitest';
import { connectionRefusal, DatabaseUnavailableError, isUnavailable } from '../../src/db/index.js';

function failure(fields: Readonly<Record<string, string>>): Error {
  return Object.assign(new Error('as the driver says it'), fields);
}

describe('errors of the database', () => {
  it('takes a missing socket for a database that is away, and no other missing file', () => {
    expect(isUnavailable(failure({ code: 'ENOENT', syscall: 'connect' }))).toBe(true);
    expect(isUnavailable(failure({ code: 'ENOENT', syscall: 'open' }))).toBe(false);
    expect(isUnavailable(failure({ code: 'ENOENT' }))).toBe(false);
  });

  it('says why no connection came about', () => {
    const away = (cause: Error) => new DatabaseUnavailableError('not in time', { cause });
    const server = { severity: 'FATAL' };
    expect(connectionRefusal(failure({ ...server, code: '3D000' }))).toContain('createdb');
    expect(connectionRefusal(failure({ ...server, code: '28P01' }))).toContain('password');
    expect(connectionRefusal(failure({ ...server, code: '28000' }))).toContain('role');
    expect(connectionRefusal(away(failure({ code: 'ECONNREFUSED' })))).toContain('refused');
    expect(connectionRefusal(away(failure({})))).toBe('as the driver says it');
    expect(connectionRefusal(failure({ code: 'ENOENT', syscall: 'open' }))).toBeUndefined();
    expect(connectionRefusal(failure({ ...server, code: '42601' }))).toBeUndefined();
    expect(connectionRefusal(undefined)).toBeUndefined();
  });
});
