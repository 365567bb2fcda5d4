import { setTimeout as delay } from 'node:timers/promises';
import type { TestApp } from '../support/test-app.js';

type Labels = Readonly<Record<string, string>>;

/** One page, as a scraper reads it. */
export interface Page {
  /** Of the series with exactly these labels; undefined: there is none. */
  value(name: string, labels?: Labels): number | undefined;
  readonly text: string;
}

export function readPage(text: string): Page {
  const values = new Map<string, number>();
  for (const line of text.split('\n')) {
    const [, name, labels = '', value] = /^(\w+)(?:\{(.*)\})? (\S+)$/.exec(line) ?? [];
    if (name === undefined) continue;
    const pairs = [...labels.matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)];
    const named = Object.fromEntries(pairs.map(([, label = '', text]) => [label, text ?? '']));
    values.set(keyOf(name, named), Number(value));
  }
  return { text, value: (name, labels = {}) => values.get(keyOf(name, labels)) };
}

function keyOf(name: string, labels: Labels): string {
  return JSON.stringify([name, ...Object.entries(labels).sort()]);
}

/** What the page would show now: the page itself is the same for whoever asks within a moment. */
export async function figures({ app }: Pick<TestApp, 'app'>): Promise<Page> {
  return readPage(await app.metrics.text());
}

/** Waits until the figures say so; the bound is there to end a test that will never succeed. */
export async function until(
  app: Pick<TestApp, 'app'>,
  says: (page: Page) => boolean,
  timeoutMs = 10_000,
): Promise<Page> {
  const end = performance.now() + timeoutMs;
  for (;;) {
    const page = await figures(app);
    if (says(page)) return page;
    if (performance.now() > end) throw new Error(`not within ${timeoutMs} ms:\n${page.text}`);
    await delay(5);
  }
}
