/** Rows as the statements of `caller-store.ts` return them. */
/** What a caller can show: one of the two is there. */
export interface CredentialRow {
  readonly caller: string;
  readonly rpc_groups: readonly string[];
  readonly disabled: boolean;
  readonly key_hash: Buffer | null;
  readonly certificate_name: string | null;
}

export interface CallerRow {
  readonly caller: string;
  readonly rpc_groups: readonly string[];
  readonly created_at: Date;
  readonly disabled_at: Date | null;
}

export interface CallerCertificateRow {
  readonly certificate_name: string;
  readonly caller: string;
}

export interface CallerKeyRow {
  readonly key_hash: Buffer;
  readonly caller: string;
  readonly created_at: Date;
}
