/** A database of the product, without the product: its migrations, the audit's partitions, a caller. */
import { migrations } from '../../migrations/index.js';
import { ensureAuditPartitions } from '../../src/audit/index.js';
import { addCaller, rpcGroups } from '../../src/callers/index.js';
import { systemClock } from '../../src/core/clock.js';
import { systemRandom } from '../../src/core/ids.js';
import { migrate, openDatabase } from '../../src/db/index.js';

const log = { debug() {}, info() {}, warn() {}, error() {} };

/** Answers the key of the caller. */
export async function makeProductSchema(url: string, callerName: string): Promise<string> {
  await using database = await openDatabase({ url }, { log });
  await migrate(database.db, migrations, { log });
  await ensureAuditPartitions(database.db, systemClock, log);
  const caller = { random: systemRandom, clock: systemClock, name: callerName, groups: rpcGroups };
  // Awaited here: the database closes when this returns.
  return await addCaller(database.db, caller);
}
