import { once } from 'node:events';
import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';

/**
 * A GOAWAY frame without error that promises every stream: 8 bytes, type 7, of the connection, last
 * stream 2^31-1 (RFC 9113, section 6.8).
 */
const NOTICE = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0x7f, 0xff, 0xff, 0xff, 0, 0, 0, 0]);

/**
 * Ends a session so that no call is lost, in two steps: a GOAWAY that promises every stream, a round
 * trip by PING, after which everything has arrived that was written unawares, and then the GOAWAY that
 * names the last one. With the second alone, a call that the client wrote before it heard of it is
 * refused, and only some clients send it again by themselves. Resolves when the last word is said; calls
 * under way go on.
 *
 * Node has no way to say the first: after its `goaway()` nghttp2 takes no new stream, whatever was
 * promised. So it is written past the session, which is sound on a bare TCP socket: each write of the
 * session's is whole frames, and the system keeps writes in order. A TLS socket takes one write at a
 * time and ends the process over a second, so there the last word is the only one (decision 0014).
 */
export async function sayGoodbye(
  session: ServerHttp2Session,
  bare: Socket | undefined,
  waitMs: number,
): Promise<void> {
  try {
    if (bare !== undefined && (await settled(session, waitMs))) {
      bare.write(NOTICE);
      await roundTrip(session, waitMs);
    }
    if (!session.closed && !session.destroyed) session.close();
  } catch {
    // It ended meanwhile.
    session.destroy();
  }
}

/** Whether our settings, which must be the first frame, have been sent and heard. */
async function settled(session: ServerHttp2Session, waitMs: number): Promise<boolean> {
  const signal = AbortSignal.timeout(waitMs);
  if (session.pendingSettingsAck)
    await once(session, 'localSettings', { signal }).catch(() => undefined);
  return !session.closed && !session.destroyed && !session.pendingSettingsAck;
}

/** Bounded: a client that does not answer is not waited for any longer. */
function roundTrip(session: ServerHttp2Session, waitMs: number): Promise<void> {
  return new Promise((resolve) => {
    const end = (): void => {
      clearTimeout(patience);
      session.off('close', end);
      resolve();
    };
    const patience = setTimeout(end, waitMs);
    session.once('close', end);
    // Not sent (too many are out already): the wait does instead.
    session.ping(end);
  });
}
