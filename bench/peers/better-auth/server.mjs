/**
 * better-auth as its documentation has it, on PostgreSQL: email and password, and its phone-number
 * plugin. Reads DATABASE_URL; HASH=own (its scrypt) or argon2 (the parameters of Countersign).
 * Codes are appended to MESSAGE_FILE, one JSON object a line, where Countersign's file transport
 * writes its own. Its limit on calls per address is off, as Countersign's are lifted: one machine plays
 * everybody.
 */
import { appendFile } from 'node:fs/promises';
import { createServer } from 'node:http';
import { hash, verify } from '@node-rs/argon2';
import { betterAuth } from 'better-auth';
import { getMigrations } from 'better-auth/db/migration';
import { toNodeHandler } from 'better-auth/node';
import { phoneNumber } from 'better-auth/plugins';
import pg from 'pg';

const { DATABASE_URL, HASH = 'own', MESSAGE_FILE = '/dev/null', POOL_SIZE = '10' } = process.env;

const argon2 = { memoryCost: 19_456, timeCost: 2, parallelism: 1 };
const password =
  HASH === 'argon2'
    ? {
        hash: (clear) => hash(clear, argon2),
        verify: ({ hash: stored, password: clear }) => verify(stored, clear),
      }
    : undefined;

const options = {
  baseURL: 'http://127.0.0.1',
  secret: 'a secret of the benchmark, and of nothing else',
  database: new pg.Pool({ connectionString: DATABASE_URL, max: Number(POOL_SIZE) }),
  telemetry: { enabled: false },
  rateLimit: { enabled: false },
  logger: { level: 'error' },
  advanced: { disableCSRFCheck: true },
  emailAndPassword: { enabled: true, ...(password === undefined ? {} : { password }) },
  plugins: [
    phoneNumber({
      sendOTP: ({ phoneNumber: to, code }) =>
        appendFile(MESSAGE_FILE, `${JSON.stringify({ to, text: code })}\n`),
    }),
  ],
};

const { runMigrations } = await getMigrations(options);
await runMigrations();

const server = createServer(toNodeHandler(betterAuth(options)));
server.keepAliveTimeout = 60_000;
server.listen(0, '127.0.0.1', () => {
  process.stdout.write(`listening on 127.0.0.1:${server.address().port}\n`);
});
process.once('SIGTERM', () => process.exit(0));
