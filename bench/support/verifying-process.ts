/** Verifies the tokens that it reads, as a service does with the client package, and says how fast. */
import { text } from 'node:stream/consumers';
import { createTokenVerifier } from '../../src/client/index.js';

interface Input {
  readonly jwks: string;
  readonly tokens: readonly string[];
  readonly seconds: number;
}

const AT_A_TIME = 8;
const WARM_UP_MS = 1_000;

const { jwks, tokens, seconds }: Input = JSON.parse(await text(process.stdin));
const verifier = createTokenVerifier({
  issuer: 'countersign',
  audience: 'countersign',
  // What is measured is offline: the key set has come already.
  jwksUrl: 'http://127.0.0.1/.well-known/jwks.json',
  fetch: async () => new Response(jwks),
});

async function verifyFor(milliseconds: number): Promise<number> {
  const until = performance.now() + milliseconds;
  const loop = async (first: number): Promise<number> => {
    let made = 0;
    for (let at = first; performance.now() < until; at += AT_A_TIME, made += 1) {
      await verifier.verify(tokens[at % tokens.length] ?? '');
    }
    return made;
  };
  const made = await Promise.all(Array.from({ length: AT_A_TIME }, (_, first) => loop(first)));
  return made.reduce((total, one) => total + one, 0);
}

await verifyFor(WARM_UP_MS);
const cpu = process.cpuUsage();
const begun = performance.now();
const made = await verifyFor(seconds * 1_000);
const { user, system } = process.cpuUsage(cpu);
const perSecond = made / ((performance.now() - begun) / 1_000);
const perCpuSecond = made / ((user + system) / 1_000_000);
process.stdout.write(JSON.stringify({ perSecond, perCpuSecond }));
