import { status } from '@grpc/grpc-js';
import { describe, expect, it } from 'vitest';
import { ErrorReason } from '../../generated/countersign/v1/error_reason.js';
import { DomainError } from '../../src/core/errors.js';
import { systemRandom } from '../../src/core/ids.js';
import { isReason, statusOf } from '../../src/grpc/status.js';
import { failureOf } from '../../src/grpc/status-details.js';
import { contract, sourceComments } from './contract.js';

describe('the table of reasons', () => {
  const inContract = Object.keys(ErrorReason).filter((name) => {
    return Number.isNaN(Number(name)) && name !== 'UNSPECIFIED' && name !== 'UNRECOGNIZED';
  });

  it('holds exactly the reasons of the contract', () => {
    expect(Object.keys(statusOf).sort()).toEqual(inContract.sort());
  });

  it.each(inContract)('gives %s the status that its comment in the contract names', (reason) => {
    const said = sourceComments().get(`countersign.v1.ErrorReason.ERROR_REASON_${reason}`);
    if (!isReason(reason)) throw new Error(`${reason} has no status`);
    expect(said).toMatch(new RegExp(`^ ${status[statusOf[reason]]}: `));
  });

  it('knows nothing else', () => {
    for (const name of ['toString', '__proto__', 'UNSPECIFIED', 'field_invalid', '']) {
      expect(isReason(name)).toBe(false);
    }
  });
});

it('is the message of the error, its metadata, and all violations at once', () => {
  const error = new DomainError('FIELD_INVALID', 'two fields are wrong', {
    metadata: { field: 'a' },
    violations: [
      { field: 'a', description: 'one' },
      { field: 'b', description: 'two' },
    ],
  });
  const failure = failureOf(error, systemRandom);
  expect(failure).toMatchObject({ code: status.INVALID_ARGUMENT, message: 'two fields are wrong' });
  expect(failure.reference).toBeUndefined();
  expect(failure.metadata.get('retry-after')).toEqual([]);
});

it.each([
  [0, '1'],
  [0.4, '1'],
  [1.01, '2'],
  [60, '60'],
])('waits %s seconds as retry-after %s', (seconds, said) => {
  const error = new DomainError('RATE_LIMITED', 'wait', { retryAfterSeconds: seconds });
  expect(failureOf(error, systemRandom).metadata.get('retry-after')).toEqual([said]);
});

it('reads the committed descriptors', () => {
  expect(contract().services.map(({ typeName }) => typeName)).toContain(
    'countersign.v1.AuthService',
  );
});
