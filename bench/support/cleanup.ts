/** What was opened, closed in reverse. Node 20 has no `AsyncDisposableStack`. */
export class Cleanup implements AsyncDisposable {
  readonly #opened: (AsyncDisposable | Disposable)[] = [];

  add<T extends AsyncDisposable | Disposable>(resource: T): T {
    this.#opened.push(resource);
    return resource;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const resource of this.#opened.splice(0).reverse()) {
      if (Symbol.asyncDispose in resource) await resource[Symbol.asyncDispose]();
      else resource[Symbol.dispose]();
    }
  }

  /** Runs what opens things; where it fails, what it had opened is closed. */
  static async around<T>(open: (cleanup: Cleanup) => Promise<T>): Promise<T> {
    const cleanup = new Cleanup();
    try {
      return await open(cleanup);
    } catch (error) {
      await cleanup[Symbol.asyncDispose]();
      throw error;
    }
  }
}
