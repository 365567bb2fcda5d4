import { describe, expect, it } from 'vitest';
import {
  anonymousCharges,
  type Charge,
  chosenCharges,
  type LimiterName,
  rememberSource,
  sendCharges,
} from '../../src/throttling/index.js';

const person = { source: '198.51.100.7', sourceIsLocal: false, sourceIsCaller: false };

it.each([
  { who: 'somebody at an address', call: person, known: '198.51.100.7' },
  {
    who: 'a loopback peer that names no person',
    call: { ...person, source: '127.0.0.1', sourceIsLocal: true },
  },
  { who: 'a service that names no person', call: { ...person, sourceIsCaller: true } },
  { who: 'a peer without an address', call: { ...person, source: '::' } },
])('a source that an address can know: $who', ({ call, known }) => {
  const remembered: string[][] = [];
  rememberSource({ remember: (...pair) => remembered.push(pair) }, 'an@example.com', call);
  expect(remembered).toEqual(known === undefined ? [] : [['an@example.com', known]]);
  const sources = sendCharges('email', 'an@example.com', call).map((charge) => charge.source);
  expect(sources).toEqual([known, known, undefined]);
});

describe('what an anonymous request costs', () => {
  const email = { type: 'email', value: 'an@example.com' } as const;
  const phone = { type: 'phone', value: '+84912345678' } as const;
  const username = { type: 'username', value: 'an' } as const;
  const reset = { purpose: 'reset', again: false } as const;
  const limitersOf = (charges: readonly Charge[]) => charges.map(({ limiter }) => limiter);
  const keyOf = (charges: readonly Charge[], name: LimiterName) =>
    charges.find(({ limiter }) => limiter === name)?.key;

  it('is the repetition, and what a message to a typed address costs anybody', () => {
    for (const [typed, channel] of [
      [email, 'email'],
      [phone, 'sms'],
    ] as const) {
      const [resend, ...sends] = anonymousCharges(typed, channel, person, reset);
      expect(resend?.limiter).toBe('resendsPerSource');
      expect(sends).toEqual(sendCharges(channel, typed.value, person));
    }
  });

  it('is no message in all where its channel is not known yet', () => {
    for (const typed of [username, email, phone]) {
      expect(limitersOf(anonymousCharges(typed, undefined, person, reset))).toEqual([
        'resendsPerSource',
        'sendsPerAddressShort',
        'sendsPerAddressLong',
      ]);
    }
  });

  it('is charged by the worker where the account chooses, and nothing twice', () => {
    const chosen = (typed: Parameters<typeof chosenCharges>[2]) =>
      limitersOf(chosenCharges('sms', phone.value, typed));
    expect(chosen(username)).toEqual([
      'sendsPerAddressShort',
      'sendsPerAddressLong',
      'smsPerCountry',
      'smsInAll',
    ]);
    expect(chosen(phone)).toEqual(['smsPerCountry', 'smsInAll']);
  });

  it('is counted per username apart from every address', () => {
    const alike = { type: 'email', value: username.value } as const;
    const [one, other] = [username, alike].map((typed) =>
      anonymousCharges(typed, undefined, person, reset),
    );
    for (const name of ['sendsPerAddressShort', 'resendsPerSource'] as const) {
      expect(keyOf(one ?? [], name)).not.toBe(keyOf(other ?? [], name));
    }
  });

  it.each([
    ['names its flow', person, true],
    ['comes from a service that names no person', { ...person, sourceIsCaller: true }, false],
    ['comes from a peer on loopback', { ...person, sourceIsLocal: true }, false],
    ['comes from nowhere', { ...person, source: '::' }, false],
  ])('is no repetition where the request %s', (_, call, again) => {
    const charges = anonymousCharges(phone, 'sms', call, { purpose: 'sign_in', again });
    expect(limitersOf(charges)).not.toContain('resendsPerSource');
    expect(limitersOf(charges)).toEqual(limitersOf(sendCharges('sms', phone.value, call)));
  });

  it('is a repetition of the same purpose, address and network alone', () => {
    const keys = [
      [phone, person, 'sign_in'],
      [phone, person, 'reset'],
      [email, person, 'reset'],
      [email, { ...person, source: '2001:db8::1' }, 'reset'],
      [email, { ...person, source: '2001:db8:0:1::1' }, 'reset'],
    ] as const;
    const different = keys.map(([typed, call, purpose]) =>
      keyOf(
        anonymousCharges(typed, undefined, call, { purpose, again: false }),
        'resendsPerSource',
      ),
    );
    expect(new Set(different).size).toBe(keys.length);
    const neighbour = { ...person, source: '2001:db8::2' };
    const same = anonymousCharges(email, undefined, neighbour, reset);
    expect(keyOf(same, 'resendsPerSource')).toBe(different[3]);
  });

  it('meets the caps of an address whatever it is asked for', () => {
    const caps = (['verify', 'reset', 'sign_in'] as const).map((purpose) =>
      keyOf(
        anonymousCharges(email, 'email', person, { purpose, again: false }),
        'sendsPerAddressShort',
      ),
    );
    expect(caps).toEqual(['an@example.com', 'an@example.com', 'an@example.com']);
  });
});
