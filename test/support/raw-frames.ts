import { connect, constants, type IncomingHttpHeaders } from 'node:http2';
import { gzipSync } from 'node:zlib';

/** What a gRPC server answered to bytes that no honest client sends. */
export interface RawAnswer {
  /** `grpc-status`, or undefined where the stream was reset. */
  readonly status: number | undefined;
  readonly message: string | undefined;
  readonly headers: IncomingHttpHeaders;
  /** What came in frames: empty for a failure. */
  readonly body: Buffer;
}

export interface RawRequest {
  /** `host:port`. */
  readonly address: string;
  /** `countersign.v1.AuthService/SignIn`. */
  readonly method: string;
  /** Written as they are, each as a write of its own. None: the headers end the stream. */
  readonly chunks: readonly Buffer[];
  /** In addition or in place; undefined leaves one out. */
  readonly headers?: Readonly<Record<string, string | undefined>>;
}

const GIVE_UP_MS = 5_000;

/** Sends bytes as the body of a call and reports how the call ended. */
export async function sendRaw(request: RawRequest): Promise<RawAnswer> {
  const session = connect(`http://${request.address}`);
  session.on('error', () => undefined);
  try {
    return await new Promise<RawAnswer>((resolve, reject) => {
      let seen: IncomingHttpHeaders = {};
      const parts: Buffer[] = [];
      const headers = {
        [constants.HTTP2_HEADER_METHOD]: 'POST',
        [constants.HTTP2_HEADER_PATH]: `/${request.method}`,
        [constants.HTTP2_HEADER_CONTENT_TYPE]: 'application/grpc+proto',
        te: 'trailers',
        ...request.headers,
      };
      const stream = session.request(headers, { endStream: request.chunks.length === 0 });
      const collect = (headers: IncomingHttpHeaders): void => {
        seen = { ...seen, ...headers };
      };
      stream.setTimeout(GIVE_UP_MS, () => reject(new Error('the server did not answer')));
      stream.on('response', collect);
      stream.on('trailers', collect);
      // A reset is an answer too.
      stream.on('error', () => undefined);
      stream.on('close', () => resolve(toAnswer(seen, Buffer.concat(parts))));
      stream.on('data', (part: Buffer) => void parts.push(part));
      for (const chunk of request.chunks) stream.write(chunk);
      stream.end();
    });
  } finally {
    session.destroy();
  }
}

/** One gRPC message: flag, length, bytes. */
export function frame(message: Buffer, options: { compressed?: boolean } = {}): Buffer {
  return framed(message, message.length, options.compressed === true);
}

/** A frame whose length says something else than what follows. */
export function lyingFrame(message: Buffer, length: number): Buffer {
  return framed(message, length, false);
}

/** A few hundred bytes that decompress to `size` zeros. */
export function bomb(size: number): Buffer {
  return frame(gzipSync(Buffer.alloc(size)), { compressed: true });
}

function framed(message: Buffer, length: number, compressed: boolean): Buffer {
  const head = Buffer.alloc(5);
  head.writeUInt8(compressed ? 1 : 0, 0);
  head.writeUInt32BE(length, 1);
  return Buffer.concat([head, message]);
}

function toAnswer(headers: IncomingHttpHeaders, body: Buffer): RawAnswer {
  const status = headers['grpc-status'];
  const message = headers['grpc-message'];
  return {
    status: status === undefined ? undefined : Number(status),
    message: typeof message === 'string' ? decodeURIComponent(message) : undefined,
    headers,
    body,
  };
}
