export interface Command {
  /** One line for the overview. */
  readonly summary: string;
  readonly help: string;
  run(args: readonly string[]): Promise<void>;
}

/** The arguments make no sense: the help is shown, and the exit code is 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError';
}

export function refuseArguments(args: readonly string[]): void {
  if (args.length > 0) throw new UsageError(`unexpected argument: ${args[0]}`);
}
