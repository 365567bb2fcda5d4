import type { ServerOptions } from '@grpc/grpc-js';

/** Of one request, on the wire and after decompression alike (rule 20). */
export const MAX_REQUEST_BYTES = 64 * 1024;
/** Of the metadata of one request, names and values: several times what any honest one has. */
export const MAX_METADATA_BYTES = 16 * 1024;
/** Of what one piece of a stream of requests brings; the rest of it waits until these are read. */
export const MAX_COMPRESSED_AT_ONCE = 8;
/** Of one answer: our own are small, reflection's files are the largest. */
const MAX_RESPONSE_BYTES = 1024 * 1024;
/** Calls under way on one connection. HTTP/2 holds further ones back at the client. */
const MAX_CONCURRENT_STREAMS = 256;
/** What one connection may make nghttp2 hold, in megabytes: Node's default, which grpc-js lifts. */
const MAX_SESSION_MEGABYTES = 10;

const SECOND = 1_000;
const MINUTE = 60 * SECOND;

/**
 * grpc-js checks the length in a message's frame before it reads on, and counts while it
 * decompresses, so that neither a long message nor a compressed bomb is ever held whole. Metadata is
 * bounded by Node itself (64 KiB and 128 headers); grpc-js has no option for it on servers.
 */
export const serverOptions: ServerOptions = {
  'grpc.max_receive_message_length': MAX_REQUEST_BYTES,
  'grpc.max_send_message_length': MAX_RESPONSE_BYTES,
  'grpc.max_concurrent_streams': MAX_CONCURRENT_STREAMS,
  'grpc-node.max_session_memory': MAX_SESSION_MEGABYTES,
  // A peer that vanished without a word is found out within 40 s.
  'grpc.keepalive_time_ms': 30 * SECOND,
  'grpc.keepalive_timeout_ms': 10 * SECOND,
  // Age and idleness are ours (`connectionLimits`), because grpc-js ends a connection in one step.
  'grpc.max_connection_idle_ms': 2 ** 31 - 1,
  // It keeps a record of every connection and call, which nobody here reads.
  'grpc.enable_channelz': 0,
};

export interface ConnectionLimits {
  readonly max: number;
  /** Of one remote IPv4 address, or one /64. */
  readonly maxPerAddress: number;
  /** From the first packet to the end of the HTTP/2 preface, TLS included. */
  readonly arrivalMs: number;
  /** Connections are renewed, so that clients behind a balancer find new replicas. */
  readonly ageMs: number;
  /** What calls get that are under way then: longer than the longest of them may take. */
  readonly ageGraceMs: number;
  readonly idleMs: number;
  /** A client that is told goodbye has this long to say that it has heard. */
  readonly goodbyeMs: number;
  /** A client that has nothing under way any more has this long to hang up. */
  readonly lingerMs: number;
}

export const connectionLimits: ConnectionLimits = {
  max: 4_096,
  maxPerAddress: 512,
  arrivalMs: 5 * SECOND,
  ageMs: 30 * MINUTE,
  ageGraceMs: 3 * MINUTE,
  idleMs: 10 * MINUTE,
  goodbyeMs: SECOND,
  lingerMs: 2 * SECOND,
};
