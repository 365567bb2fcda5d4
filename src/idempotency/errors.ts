import { DomainError } from '../core/errors.js';

export type IdempotencyReason = 'REQUEST_ID_REUSED';

export const requestIdReused = () =>
  new DomainError<IdempotencyReason>(
    'REQUEST_ID_REUSED',
    'this request_id was used for another request',
    { metadata: { field: 'request_id' } },
  );
