import { expect, it } from 'vitest';
import { rememberSource, sendCharges } from '../../src/throttling/index.js';

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
