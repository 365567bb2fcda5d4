/** Rows as the statements of `caller-store.ts` return them. */
export interface LiveKeyRow {
  readonly key_hash: Buffer;
  readonly caller: string;
  readonly rpc_groups: readonly string[];
}

export interface CallerRow {
  readonly caller: string;
  readonly rpc_groups: readonly string[];
  readonly created_at: Date;
  readonly disabled_at: Date | null;
}

export interface CallerKeyRow {
  readonly key_hash: Buffer;
  readonly caller: string;
  readonly created_at: Date;
}
