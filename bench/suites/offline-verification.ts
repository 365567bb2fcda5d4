import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { table } from '../support/markdown.js';
import { seedPeople } from '../support/people.js';
import { type Spread, spread } from '../support/statistics.js';
import { startSubject } from '../support/subject.js';
import type { Suite } from '../support/suite.js';
import { within } from './compared.js';
import { keySet } from './public-key.js';

interface OfflineData {
  readonly seconds: number;
  readonly rounds: number;
  /** By wall clock, in one process. */
  readonly perSecond: Spread;
  /** By CPU, all threads of the process together. */
  readonly perCpuSecond: Spread;
  readonly tokens: number;
}

const TOKENS = 500;
const PROCESS = fileURLToPath(new URL('../support/verifying-process.ts', import.meta.url));

export const offlineVerification: Suite<OfflineData> = {
  name: 'offline-verification',
  title: 'Verifying tokens offline',
  byDefault: true,
  async run({ seconds, rounds, program, say }) {
    await using subject = await startSubject({ program });
    const people = await seedPeople(subject, TOKENS);
    const jwks = JSON.stringify(await keySet(subject));
    const tokens = people.map(({ accessToken }) => accessToken);
    const input = JSON.stringify({ jwks, tokens, seconds: Math.min(seconds, 3) });
    const measured: { perSecond: number; perCpuSecond: number }[] = [];
    for (let round = 0; round < rounds; round += 1) {
      const child = promisify(execFile)(process.execPath, ['--import', 'tsx', PROCESS]);
      child.child.stdin?.end(input);
      const one: { perSecond: number; perCpuSecond: number } = JSON.parse((await child).stdout);
      measured.push(one);
      say(
        `round ${round + 1}: ${one.perSecond.toFixed(0)}/s, ${one.perCpuSecond.toFixed(0)} per CPU second`,
      );
    }
    return {
      seconds: Math.min(seconds, 3),
      rounds,
      tokens: TOKENS,
      perSecond: spread(
        measured.map(({ perSecond }) => perSecond),
        0,
      ),
      perCpuSecond: spread(
        measured.map(({ perCpuSecond }) => perCpuSecond),
        0,
      ),
    };
  },
  section: (data) =>
    [
      `What a service spends that verifies access tokens itself: \`createTokenVerifier\` of the client package in a process of`,
      `its own, ${data.tokens} tokens in turn, 8 at a time; ${data.rounds} rounds of ${data.seconds} s.`,
      '',
      table(
        ['verifications', ''],
        [
          ['per second and process', within(data.perSecond)],
          ['per second of CPU: per second and core', within(data.perCpuSecond)],
        ],
      ),
    ].join('\n'),
};
