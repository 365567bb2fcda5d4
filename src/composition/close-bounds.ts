/**
 * What each stage may take to close, in the order of opening; closing goes the other way. Calls get
 * `DRAIN_TIMEOUT` and are cut off then; everything behind them fits into 20 s, which is what operators
 * are told, also when the database answers nothing any more.
 */
export const CLOSE_MS = { stores: 5_000, queues: 11_000, background: 2_500, http: 500, calls: 500 };
