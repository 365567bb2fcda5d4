import type { Migration } from '../src/db/index.js';

/**
 * Names by which a calling service's client certificate is known: `DNS:bff.internal`,
 * `URI:spiffe://example.org/bff`. The primary key decides that a name belongs to one caller.
 */
export const migration: Migration = {
  name: '0002-caller-certificates',
  sql: `
create table caller_certificates (
  certificate_name text primary key,
  caller text not null references callers,
  created_at timestamptz not null
);
create index caller_certificates_by_caller on caller_certificates (caller);
`,
};
