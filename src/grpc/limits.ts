import type { ServerOptions } from '@grpc/grpc-js';

/** Of one request, on the wire and after decompression alike (rule 20). */
export const MAX_REQUEST_BYTES = 64 * 1024;
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
  // Connections are renewed, so that clients behind a balancer find new replicas; calls under way
  // get longer than the longest of them may take.
  'grpc.max_connection_age_ms': 30 * MINUTE,
  'grpc.max_connection_age_grace_ms': MINUTE,
  'grpc.max_connection_idle_ms': 10 * MINUTE,
  // It keeps a record of every connection and call, which nobody here reads.
  'grpc.enable_channelz': 0,
};
