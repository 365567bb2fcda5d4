import { status } from '@grpc/grpc-js';
import { expect, it } from 'vitest';
import { Channel } from '../../generated/countersign/v1/challenge.js';
import { authRpc } from '../../src/grpc/index.js';
import {
  type Charge,
  createMemoryThrottle,
  type LimitOverrides,
  type Refusal,
  resolveLimits,
} from '../../src/throttling/index.js';
import { movableClock } from '../contracts/throttling.contract.js';
import { call, detailsOf, openToyEdge } from './toy-edge.js';

const request = { phoneNumber: '+84912345678', region: undefined, challengeId: undefined };
const once = { points: 1, windowSeconds: 60 };
const sms = (...limiters: readonly Charge['limiter'][]): Charge[] =>
  limiters.map((limiter) => ({ limiter, key: 'a' }));

/** An anonymous RPC behind real limits, in memory. */
async function openAnonymous(options: {
  readonly charges: readonly Charge[];
  readonly limits?: LimitOverrides;
  readonly holds?: boolean;
}) {
  const clock = movableClock();
  const throttle = createMemoryThrottle({ limits: resolveLimits(options.limits), clock });
  const ran: string[] = [];
  const heldBack = async (phone: string, _: unknown, refusal: Refusal) =>
    `void, ${phone}, ${refusal.retryAfterSeconds}`;
  const requestPhoneSignIn = authRpc('requestPhoneSignIn', {
    parse: ({ phoneNumber }) => phoneNumber,
    sends: () => options.charges,
    ...(options.holds === false ? {} : { heldBack }),
    run: async (phone) => {
      ran.push(phone);
      return 'real';
    },
    toResponse: (challengeId) => ({
      challenge: {
        challengeId,
        channel: Channel.SMS,
        maskedDestination: '',
        expireTime: undefined,
        resendTime: undefined,
      },
    }),
  });
  const admit = (charges: readonly Charge[]) => throttle.tryConsume(charges);
  const { client, seen } = await openToyEdge({ requestPhoneSignIn }, { admit });
  const ask = async () => {
    const outcome = await call(client, client.requestPhoneSignIn, request);
    return {
      ...outcome,
      id: outcome.response?.challenge?.challengeId,
      retryAfter: outcome.status.metadata.get('retry-after'),
    };
  };
  return { ask, throttle, clock, ran, seen };
}

it('answers with success and the wait where the only exhausted limiter holds back (T4)', async () => {
  const { ask, ran, clock, seen } = await openAnonymous({
    charges: sms('resendsPerSource', 'smsInAll'),
  });
  expect(await ask()).toMatchObject({ id: 'real', retryAfter: [] });
  clock.advance(20);
  expect(await ask()).toMatchObject({ id: 'void, +84912345678, 40', retryAfter: ['40'] });
  expect(ran).toHaveLength(1);
  expect(seen.audit.map(({ outcome }) => outcome)).toEqual(['OK', 'OK']);
  clock.advance(41);
  expect(await ask()).toMatchObject({ id: 'real', retryAfter: [] });
});

it('gives back what a held call was charged, like a refused one', async () => {
  const { ask, throttle } = await openAnonymous({
    charges: sms('resendsPerSource', 'smsInAll'),
    limits: { smsInAll: { points: 3, windowSeconds: 3_600 } },
  });
  for (let i = 0; i < 10; i += 1) await ask();
  const verdicts = [];
  for (let i = 0; i < 3; i += 1) verdicts.push(await throttle.tryConsume(sms('smsInAll')));
  expect(verdicts.map(({ admitted }) => admitted)).toEqual([true, true, false]);
});

it('refuses where anything else is exhausted too', async () => {
  const { ask, ran } = await openAnonymous({
    charges: sms('anonymousInAll', 'resendsPerSource', 'smsInAll'),
    limits: { anonymousInAll: once, smsInAll: once },
  });
  await ask();
  const outcome = await ask();
  expect(outcome.error?.code).toBe(status.RESOURCE_EXHAUSTED);
  expect(detailsOf(outcome).info?.reason).toBe('RATE_LIMITED');
  expect(ran).toHaveLength(1);
});

it('refuses where the RPC has no answer for a held call', async () => {
  const { ask } = await openAnonymous({ charges: sms('resendsPerSource'), holds: false });
  await ask();
  const outcome = await ask();
  expect(detailsOf(outcome).info?.reason).toBe('RATE_LIMITED');
  expect(outcome.retryAfter).toEqual(['60']);
});
