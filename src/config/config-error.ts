/** One thing that is wrong with the configuration. Never holds the value of a secret. */
export interface ConfigProblem {
  /** The environment variable to look at. */
  readonly name: string;
  readonly wrong: string;
  readonly remedy: string;
}

/** Everything that is wrong with the configuration, at once: nobody should mend it by instalments. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError';

  constructor(readonly problems: readonly ConfigProblem[]) {
    const count = problems.length === 1 ? '1 problem' : `${problems.length} problems`;
    const lines = problems.map(({ name, wrong, remedy }) => `  ${name}: ${wrong}. ${remedy}.`);
    super([`The configuration has ${count}:`, ...lines].join('\n'));
  }
}
