/**
 * Runs `step` again and again, `everyMs` after the last run has ended, until disposed of; disposing
 * waits for a run under way. `step` handles its own failures. Does not keep the process alive.
 */
export function repeat(everyMs: number, step: () => Promise<void>): AsyncDisposable {
  let stopped = false;
  let running = Promise.resolve();
  let timer: NodeJS.Timeout;
  const schedule = (): void => {
    timer = setTimeout(() => {
      running = step().finally(() => {
        if (!stopped) schedule();
      });
    }, everyMs);
    timer.unref();
  };
  schedule();
  return {
    async [Symbol.asyncDispose]() {
      stopped = true;
      clearTimeout(timer);
      await running;
    },
  };
}
