import { expect, it } from 'vitest';
import { walkThrough } from '../../examples/clients/walk-through.js';
import { startTestApp } from '../support/test-app.js';

it('walks docs/clients.md against a real server, key set over HTTP included', async () => {
  await using server = await startTestApp();
  const printed: string[] = [];
  await walkThrough({
    address: server.address,
    jwksUrl: `http://${server.app.httpAddress}/.well-known/jwks.json`,
    issuer: server.config.tokens.issuer,
    audience: server.config.tokens.audience,
    readCode: async (to) => {
      await server.mailbox.waitFor((message) => message.to === to);
      return server.mailbox.codeFor(to);
    },
    print: (line) => printed.push(line),
  });
  expect(printed.join('\n')).toMatch(
    /^signed up: [0-9a-f-]{36}, 2 codes sent\nconfirmed: \S+ \(verified: true\)\nconfirmed: \S+ \(verified: true\)\nsigned in by phone: Bearer token for 900 s\nverified offline: account [0-9a-f-]{36} acts in [0-9a-f-]{36}\nan owner there: true\nHTTP 401 /,
  );
});
