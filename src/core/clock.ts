/**
 * The only source of time. Rules about stored state are decided by the database's clock plus
 * `offsetMs` (see `db/now.ts`); limits in memory, tokens and leases held by this process use `now()`.
 * The offset is zero in production; tests move it instead of sleeping.
 */
export interface Clock {
  readonly offsetMs: number;
  now(): Date;
}

export const systemClock: Clock = {
  offsetMs: 0,
  now: () => new Date(),
};
