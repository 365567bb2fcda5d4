/** What the primary and its workers say to each other. Both are of one build: nothing is versioned. */
export type FromWorker =
  /** It serves; `facts` are for the banner. */
  | { readonly say: 'listening'; readonly facts: unknown }
  /** Asks for one answer of every worker. */
  | { readonly say: 'gather'; readonly id: number }
  | { readonly say: 'answer'; readonly id: number; readonly answer: unknown };

export type FromPrimary =
  | { readonly say: 'drain' }
  | { readonly say: 'ask'; readonly id: number }
  | { readonly say: 'gathered'; readonly id: number; readonly gathered: Gathered };

export interface Gathered {
  readonly answers: readonly PlacedAnswer[];
  /** Workers that did not answer in time, or do not serve. */
  readonly missing: number;
}

export interface PlacedAnswer {
  /** Of the worker among the others, from 1; whoever replaces it takes its place. */
  readonly place: number;
  readonly answer: unknown;
}

/** Of whatever else comes over the channel nothing is ours. */
export function isMessage(message: unknown): message is { readonly say: string } {
  return typeof message === 'object' && message !== null && 'say' in message;
}
