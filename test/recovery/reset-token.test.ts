import { describe, expect, it } from 'vitest';
import { systemRandom } from '../../src/core/ids.js';
import { makeResetToken, readResetToken } from '../../src/recovery/reset-token.js';

const ID = '0b0f3c1e-6f0e-4b6f-9d5a-3d3b8f0f1a11';

describe('reset tokens', () => {
  it('are read back, by their flow and the hash of their secret', () => {
    const { token, hash } = makeResetToken(systemRandom, ID);
    expect(readResetToken(token)).toEqual({ challengeId: ID, hash });
    expect(makeResetToken(systemRandom, ID).token).not.toBe(token);
  });

  it('are known by their shape: what is none of ours is read as nothing', () => {
    const { token } = makeResetToken(systemRandom, ID);
    const body = token.slice(4);
    const strangers = [
      '',
      'garbage',
      body,
      `crt_${body}`,
      `CPR_${body}`,
      `${token}A`,
      `${token}=`,
      token.slice(0, -1),
      ` ${token}`,
      `${token}\n`,
      `cpr_${body.replace(/./, '+')}`,
      // No flow has such an id.
      `cpr_${Buffer.alloc(48).toString('base64url')}`,
      `cpr_${Buffer.alloc(48, 0xff).toString('base64url')}`,
    ];
    for (const stranger of strangers) expect(readResetToken(stranger)).toBeUndefined();
  });
});
