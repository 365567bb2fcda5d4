/** What `npm run bench` runs, and what `docs/performance.md` says of it. */
export interface SuiteOptions {
  /** Length of one round. */
  readonly seconds: number;
  readonly rounds: number;
  readonly seed: number;
  /** Another build than `dist/src/main.js`. */
  readonly program: string | undefined;
  /** A line of progress. */
  readonly say: (text: string) => void;
}

export interface Suite<Data = unknown> {
  /** As it is typed, and the name of its result. */
  readonly name: string;
  readonly title: string;
  /** Long ones run only when they are named. */
  readonly byDefault: boolean;
  /** Its figures: plain data, rounded, no clock times. */
  run(options: SuiteOptions): Promise<Data>;
  /** Markdown below the title. */
  section(data: Data): string;
  /** A picture beside the page, which its section shows. */
  plot?(data: Data): { readonly name: string; readonly svg: string };
}
