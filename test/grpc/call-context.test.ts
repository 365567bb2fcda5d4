import * as fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { requestIdOf, sourceOf, userAgentFrom } from '../../src/grpc/call-context.js';
import { parseSourceAddress, sourceKey } from '../../src/throttling/index.js';
import { metadata } from './toy-edge.js';

describe('the source of a call (rule 21)', () => {
  const peer = (text: string): string => sourceOf(metadata({}), text, false).source;

  it.each([
    ['127.0.0.1:50123', '127.0.0.1'],
    ['203.0.113.9', '203.0.113.9'],
    ['::1:54321', '::1'],
    ['::1', '::1'],
    ['2001:db8::5:443', '2001:db8::5'],
    ['::ffff:10.0.0.1:99', '10.0.0.1'],
    ['fe80::1%eth0:1234', 'fe80::1'],
    ['unknown', '::'],
    ['', '::'],
  ])('reads the peer %j as %s', (text, address) => {
    expect(peer(text)).toBe(address);
  });

  it('is always an address that limits can count', () => {
    void fc.assert(
      fc.property(fc.oneof(fc.string(), fc.ipV4(), fc.ipV6()), fc.nat(65_535), (host, port) => {
        const address = peer(`${host}:${port}`);
        expect(parseSourceAddress(address)).toBe(address);
        expect(sourceKey(address)).not.toBe('');
      }),
    );
  });

  it('is local for a loopback peer that names no person, and only then', () => {
    const claimed = metadata({ 'countersign-client-address': '127.0.0.1' });
    expect(sourceOf(metadata({}), '127.0.0.1:1', true).sourceIsLocal).toBe(true);
    expect(sourceOf(metadata({}), '::1', false).sourceIsLocal).toBe(true);
    expect(sourceOf(metadata({}), '203.0.113.9:1', true).sourceIsLocal).toBe(false);
    expect(sourceOf(claimed, '127.0.0.1:1', true).sourceIsLocal).toBe(false);
  });

  it('is the caller itself where that names no person, and only then', () => {
    const claimed = metadata({ 'countersign-client-address': '203.0.113.9' });
    expect(sourceOf(metadata({}), '203.0.113.1:1', true).sourceIsCaller).toBe(true);
    expect(sourceOf(claimed, '203.0.113.1:1', true).sourceIsCaller).toBe(false);
    expect(sourceOf(metadata({}), '203.0.113.1:1', false).sourceIsCaller).toBe(false);
  });

  it('is refused when it is named twice: one of the two is somebody else', () => {
    const twice = metadata({ 'countersign-client-address': '203.0.113.9' });
    twice.add('countersign-client-address', '203.0.113.10');
    expect(() => sourceOf(twice, '127.0.0.1:1', true)).toThrow('must be exactly one');
    expect(sourceOf(twice, '127.0.0.1:1', false).source).toBe('127.0.0.1');
  });
});

it('makes up a request id when two are given', () => {
  const twice = metadata({ 'countersign-request-id': 'a' });
  twice.add('countersign-request-id', 'b');
  expect(requestIdOf(twice)).toMatch(/^[0-9a-f-]{36}$/);
});

describe('the user agent of a call', () => {
  it.each([
    ['Mozilla/5.0 (Điện thoại) 📱', 'Mozilla/5.0 (Điện thoại) 📱'],
    ['two\r\nlines\u0000\u0085', 'twolines'],
    ['half \ud83d of a pair', 'half  of a pair'],
    ['  in the middle  ', 'in the middle'],
    ['\u001b', undefined],
    ['', undefined],
    [undefined, undefined],
  ])('reads %j as %j', (given, kept) => {
    expect(userAgentFrom(given)).toBe(kept);
  });

  it('is never cut within a character', () => {
    expect(userAgentFrom('📱'.repeat(300))).toBe('📱'.repeat(256));
  });

  it('is always short, whole, and free of control characters', () => {
    void fc.assert(
      fc.property(fc.string({ unit: 'binary', maxLength: 600 }), (given) => {
        const kept = userAgentFrom(given) ?? '-';
        expect([...kept].length).toBeLessThanOrEqual(256);
        expect(kept).toMatch(/^[^\p{Cc}\p{Cs}]+$/u);
        expect(userAgentFrom(kept)).toBe(kept);
      }),
    );
  });
});
