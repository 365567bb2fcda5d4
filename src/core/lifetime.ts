import type { Logger } from './logger.js';

interface Stage {
  readonly name: string;
  readonly boundMs: number;
  readonly parts: AsyncDisposable[];
}

/**
 * What a process has opened, in stages. Disposing closes the last stage first and the parts of one
 * together. No part can keep the others open: one that fails, or is not closed within its stage's
 * bound, is logged and left behind. Node 20 has no `AsyncDisposableStack`, which has no bounds either.
 */
export class Lifetime implements AsyncDisposable {
  readonly #stages: Stage[] = [];

  constructor(private readonly log: Logger) {}

  /** What is used from now on closes before everything used so far. */
  stage(name: string, boundMs: number): void {
    this.#stages.push({ name, boundMs, parts: [] });
  }

  use<T extends AsyncDisposable>(part: T): T {
    const stage = this.#stages.at(-1);
    if (stage === undefined) throw new Error('there is no stage yet');
    stage.parts.push(part);
    return part;
  }

  /** Never rejects. */
  async [Symbol.asyncDispose](): Promise<void> {
    for (let stage = this.#stages.pop(); stage !== undefined; stage = this.#stages.pop()) {
      await this.#close(stage);
    }
  }

  async #close({ name, boundMs, parts }: Stage): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const bound = new Promise<void>((resolve) => {
      timer = setTimeout(() => {
        this.log.error({ stage: name, boundMs }, 'not closed in time, and left behind');
        resolve();
      }, boundMs);
    });
    await Promise.race([Promise.all(parts.map((part) => this.#dispose(name, part))), bound]);
    clearTimeout(timer);
  }

  async #dispose(stage: string, part: AsyncDisposable): Promise<void> {
    try {
      await part[Symbol.asyncDispose]();
    } catch (error) {
      this.log.error({ stage, err: error }, 'closing failed');
    }
  }
}
