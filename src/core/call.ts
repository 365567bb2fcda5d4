/** What a use-case knows of the call it serves. The edge makes it; tests may make their own. */
export interface Call {
  /** Names this call in logs, audit and the answer's metadata. */
  readonly requestId: string;
  /** Name of the calling service; empty where callers may be anonymous. */
  readonly caller: string;
  /** The person's address: from an authenticated caller's metadata, else the peer's (rule 21). */
  readonly source: string;
  /** `source` is a loopback peer that named no person: a tool on this machine. */
  readonly sourceIsLocal: boolean;
  /** `source` is a calling service that named no person: it stands for all of its people. */
  readonly sourceIsCaller: boolean;
  /** The person's browser or app in its own words, from an authenticated caller's metadata. */
  readonly userAgent: string | undefined;
  /** Language for whoever has not chosen one: from `accept-language`. */
  readonly locale: 'en' | 'vi';
  /** When the answer is worth nothing any more. */
  readonly deadline: Date;
  /** Aborts at the deadline and when the caller leaves. */
  readonly signal: AbortSignal;
}

/** A call on behalf of a signed-in person: what its access token proves. */
export interface PersonCall extends Call {
  readonly person: Person;
}

export interface Person {
  readonly accountId: string;
  readonly sessionId: string;
  /** When the person last authenticated; changes of address ask for a recent one (rule 12). */
  readonly authTime: Date;
}
