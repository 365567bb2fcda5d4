/** A floor as a process of its own: `bench/floors/main.ts NAME`. */
import { Server, ServerCredentials } from '@grpc/grpc-js';
import { AuthServiceService } from '../../generated/countersign/v1/auth_service.js';
import { type FloorModule, openContext } from './floor.js';

const [name = ''] = process.argv.slice(2);
const floor: FloorModule = await import(`./${name}.ts`);
const context = openContext(process.env);
for (const statement of floor.schema) await context.pool.query(statement);

const server = new Server();
server.addService(AuthServiceService, floor.handlers(context));
server.bindAsync('127.0.0.1:0', ServerCredentials.createInsecure(), (error, port) => {
  if (error !== null) throw error;
  process.stdout.write(`listening on 127.0.0.1:${port}\n`);
});
process.once('SIGTERM', () => process.exit(0));
