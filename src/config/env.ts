/** Environment variables as they are. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The only place that reads `process.env` (the launcher apart, which runs before modules load). A
 * copy: what changes in the process's environment later changes nothing here.
 */
export function readEnv(): Record<string, string | undefined> {
  return { ...process.env };
}

/** Threads of libuv's pool, which Argon2 shares with DNS, files and WebCrypto; 4 unless `launch.cts` set it. */
export function threadPoolSize(): number {
  return Number(process.env['UV_THREADPOOL_SIZE'] ?? 4);
}
