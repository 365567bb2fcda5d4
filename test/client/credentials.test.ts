import { describe, expect, it } from 'vitest';
import { channelCredentials, isLocalTarget } from '../../src/client/credentials.js';
import { createCountersignClient } from '../../src/client/index.js';

describe('plaintext', () => {
  it.each([
    '127.0.0.1:50051',
    '127.9.9.9:1',
    'localhost:50051',
    'dns:localhost:50051',
    'dns:///localhost:50051',
    '[::1]:50051',
    'ipv4:127.0.0.1:1,127.0.0.2:2',
    'ipv6:[::1]:1',
    'unix:/run/countersign.sock',
  ])('is the default on loopback: %s', (address) => {
    expect(isLocalTarget(address)).toBe(true);
    expect(channelCredentials({ address })._isSecure()).toBe(false);
  });

  it.each([
    '10.0.0.1:50051',
    'countersign:50051',
    'localhost.example.com:50051',
    '127.0.0.1.example.com:50051',
    'dns:///countersign:50051',
    'dns://127.0.0.1/countersign:50051',
    'ipv4:127.0.0.1:1,10.0.0.1:2',
    '127.0.0.1:1,10.0.0.1:2',
    '127.1:50051',
    '[::]:50051',
    '0.0.0.0:50051',
    'xds:///localhost:1',
    '',
  ])('is refused anywhere else: %s', (address) => {
    expect(isLocalTarget(address)).toBe(false);
    expect(() => channelCredentials({ address })).toThrow(/not on loopback/);
    expect(() => channelCredentials({ address, credentials: 'insecure' })).toThrow(
      /not on loopback/,
    );
  });

  it('is allowed off loopback by its own name', () => {
    const client = createCountersignClient({ address: 'countersign:50051', plaintext: true });
    client.close();
    expect(channelCredentials({ address: 'countersign:50051', plaintext: true })._isSecure()).toBe(
      false,
    );
  });
});

describe('TLS', () => {
  it("is used with the system's authorities when nothing is named", () => {
    expect(channelCredentials({ address: 'countersign:443', credentials: {} })._isSecure()).toBe(
      true,
    );
  });

  it('wins over a permission for plaintext', () => {
    expect(
      channelCredentials({ address: 'c:1', credentials: {}, plaintext: true })._isSecure(),
    ).toBe(true);
  });

  it('refuses half of a client certificate', () => {
    expect(() => channelCredentials({ address: 'c:1', credentials: { cert: 'x' } })).toThrow(
      /both cert and key/,
    );
  });

  it('refuses a caller key that no header can carry', () => {
    expect(() => createCountersignClient({ address: '127.0.0.1:1', callerKey: 'a\nb' })).toThrow(
      TypeError,
    );
    expect(() => createCountersignClient({ address: '127.0.0.1:1', callerKey: '' })).toThrow(
      TypeError,
    );
  });
});
