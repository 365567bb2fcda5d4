/** Environment variables as they are. */
export type Environment = Readonly<Record<string, string | undefined>>;

/**
 * The only place that reads `process.env`. A copy: what changes in the process's environment later
 * changes nothing here.
 */
export function readEnv(): Record<string, string | undefined> {
  return { ...process.env };
}
