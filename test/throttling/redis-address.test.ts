import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { connectRedis, parseRedisAddress } from '../../src/throttling/index.js';
import { MAX_REDIS_HOSTS } from '../../src/throttling/redis-address.js';

const parsed = (text: string) => {
  const read = parseRedisAddress(text);
  if ('wrong' in read) throw new Error(read.wrong);
  return read.value;
};
const wrong = (text: string) => {
  const read = parseRedisAddress(text);
  return 'wrong' in read ? read.wrong : undefined;
};
const host = (name: string, port: number) => ({ host: name, port });

describe('REDIS_URL', () => {
  it.each([
    ['redis://h', { form: 'single', host: host('h', 6379), db: 0, tls: false }],
    ['redis://h:7000/', { form: 'single', host: host('h', 7000), db: 0, tls: false }],
    [
      'rediss://user:p%40ss%3A%2F@cache.internal:6380/3',
      {
        form: 'single',
        host: host('cache.internal', 6380),
        db: 3,
        tls: true,
        username: 'user',
        password: 'p@ss:/',
      },
    ],
    [
      'redis://:pass:word@[2001:db8::1]:6379',
      {
        form: 'single',
        host: host('2001:db8::1', 6379),
        db: 0,
        tls: false,
        password: 'pass:word',
      },
    ],
    [
      'redis+cluster://u:p@a:7000,b,[::1]:7002',
      {
        form: 'cluster',
        hosts: [host('a', 7000), host('b', 6379), host('::1', 7002)],
        tls: false,
        username: 'u',
        password: 'p',
      },
    ],
    [
      'rediss+sentinel://:p@a,b:26380/my.primary/2?sentinel_username=s&sentinel_password=%26q',
      {
        form: 'sentinel',
        hosts: [host('a', 26379), host('b', 26380)],
        name: 'my.primary',
        db: 2,
        tls: true,
        password: 'p',
        sentinel: { username: 's', password: '&q' },
      },
    ],
  ])('reads %s', (text, expected) => {
    expect(parsed(text)).toEqual(expected);
  });

  it.each([
    ['', /no form/],
    ['secret-host:6379', /no form/],
    ['http://secret', /no form/],
    ['redis+secret://h', /no form/],
    ['redis://h#secret', /no form/],
    [`redis://${'h'.repeat(5_000)}`, /no form/],
    ['redis://', /host 1/],
    ['redis://:secret@', /host 1/],
    ['redis://h:secret', /host 1/],
    ['redis://h:0', /host 1/],
    ['redis://h:65536', /host 1/],
    ['redis+cluster://a,secret!', /host 2/],
    ['redis+cluster://a,', /host 2/],
    ['redis+cluster://a b', /host 1/],
    [`redis+cluster://${'h,'.repeat(MAX_REDIS_HOSTS)}h`, /16 hosts/],
    ['redis://a,b', /not one host/],
    ['redis://secret@h', /without a password/],
    ['redis://u:%zz-secret@h', /before the @/],
    ['redis://h/secret', /database/],
    ['redis://h/1/secret', /database/],
    ['redis://h/99999', /database/],
    ['redis://h?commandTimeout=0', /query/],
    ['redis+cluster://h/1', /path/],
    ['redis+cluster://h?secret', /query/],
    ['redis+sentinel://h', /name of the primary/],
    ['redis+sentinel://h/secret name', /name of the primary/],
    ['redis+sentinel://h/m/x', /database/],
    ['redis+sentinel://h/m/1/secret', /more than/],
    ['redis+sentinel://h/m?secret=1', /sentinel_username/],
    ['redis+sentinel://h/m?sentinel_password=a&sentinel_password=secret', /once/],
    ['redis+sentinel://h/m?sentinel_username=secret', /without a password/],
  ])('refuses %s and says why', async (text, why) => {
    expect(wrong(text)).toMatch(why);
    expect(wrong(text)).not.toContain('secret');
    await expect(connectRedis(text)).rejects.toThrow(why);
  });

  it('never throws, and says nothing of what it was given (property)', () => {
    const part = fc.string({ unit: 'binary', maxLength: 12 });
    fc.assert(
      fc.property(
        fc.constantFrom('redis', 'rediss+sentinel', 'redis+cluster'),
        fc.array(fc.oneof(part, fc.constantFrom('@', ':', ',', '/', '?', '%', '[', ']', 'h')), {
          maxLength: 12,
        }),
        (scheme, parts) => {
          const marked = parts.map((text) => text.replaceAll(/[a-z]/gi, 'Q'));
          expect(wrong(`${scheme}://${marked.join('')}`) ?? '').not.toContain('Q');
        },
      ),
    );
  });
});
