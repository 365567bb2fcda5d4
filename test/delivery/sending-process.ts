/** A process that issues and sends messages until it is killed: `sending-process.ts URL FILE`. */
import { openDatabase } from '../../src/db/index.js';
import { createTransport } from '../../src/delivery/index.js';
import { silentLog } from '../support/databases.js';
import { codeMessage, insert, movableClock, outboxOn } from './fixtures.js';

const [url = '', file = ''] = process.argv.slice(2);
const { db } = await openDatabase({ url }, { log: silentLog });
const clock = movableClock();
const transport = createTransport(`file:${file}`, { stdout: process.stdout });
const outbox = outboxOn(
  db,
  clock,
  { email: transport, sms: transport },
  {
    batch: 50,
    lingerMs: 1_000,
  },
);

for (let i = 0; ; i += 1) {
  const to = `+8490${String(1_000_000 + i)}`;
  const message = outbox.prepare(codeMessage({ to }));
  process.stdout.write(`${message.id} ${to}\n`);
  await insert(db, clock, message);
  outbox.dispatch([message]);
}
