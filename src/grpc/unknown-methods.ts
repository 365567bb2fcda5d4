import { type Server, status } from '@grpc/grpc-js';
import { serveUnknownMethodsBy } from './library-internals.js';

/** No service has this name, and whoever calls it is told what it says. */
const PATH = '/unknown';

/**
 * Lets a call of what nobody serves pass through the interceptors like any other. grpc-js answers it
 * by itself, before they run: quoting the caller, without details, and without an end of its stream.
 * A stream of requests, so that it is refused on its headers, whatever would follow them.
 */
export function refuseUnknownMethods(server: Server): void {
  server.register(
    PATH,
    (call: { emit(event: 'error', error: object): unknown }) => {
      call.emit('error', { code: status.UNIMPLEMENTED, details: 'no method of this name' });
    },
    () => Buffer.alloc(0),
    () => ({}),
    'bidi',
  );
  serveUnknownMethodsBy(server, PATH);
}
