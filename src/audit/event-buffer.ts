/** First in, first out, and never over its bound: the oldest go. One batch at a time is taken off. */
export interface EventBuffer<T> {
  add(event: T): void;
  /** Takes the oldest off; afterwards `written` or `giveBack`. */
  take(limit: number): readonly T[];
  written(): void;
  giveBack(): void;
  readonly size: number;
  /** Taken off, and not yet known to be written. */
  readonly taken: number;
  /** Dropped for want of room, since the start. */
  readonly dropped: number;
}

export function createEventBuffer<T>(
  bound: number,
  onDrop: (dropped: number) => void,
): EventBuffer<T> {
  let waiting: T[] = [];
  let batch: readonly T[] = [];
  let dropped = 0;

  const shed = (): void => {
    const excess = waiting.length - bound;
    if (excess <= 0) return;
    waiting.splice(0, excess);
    dropped += excess;
    onDrop(dropped);
  };

  return {
    add(event) {
      waiting.push(event);
      shed();
    },
    take(limit) {
      batch = waiting.slice(0, limit);
      waiting = waiting.slice(batch.length);
      return batch;
    },
    written() {
      batch = [];
    },
    giveBack() {
      waiting = [...batch, ...waiting];
      batch = [];
      shed();
    },
    get size() {
      return waiting.length;
    },
    get taken() {
      return batch.length;
    },
    get dropped() {
      return dropped;
    },
  };
}
