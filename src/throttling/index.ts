export {
  ADMISSION,
  anonymousCharges,
  chosenCharges,
  rememberSource,
  sendCharges,
  sourceCharges,
  spendOnSends,
} from './charges.js';
export { type ConnectRedisOptions, connectRedis, type RedisConnection } from './connect-redis.js';
export { rateLimited, type ThrottlingReason } from './errors.js';
export {
  type Limiter,
  type LimiterName,
  type LimitOverrides,
  type Limits,
  limiterNames,
  resolveLimits,
} from './limits.js';
export { createMemoryThrottle, type MemoryThrottleDeps } from './memory-throttle.js';
export { parseRedisAddress, REDIS_FORMS } from './redis-address.js';
export { createRedisThrottle, type RedisThrottleDeps } from './redis-throttle.js';
export { parseSourceAddress, sourceKey } from './source-address.js';
export {
  type Charge,
  compoundKey,
  type Receipt,
  type Refusal,
  type Throttle,
  type Verdict,
} from './throttle.js';
export type { ThrottleObserver } from './throttle-observer.js';
