/** What one password hash costs on this machine now: `hashCost()` runs this file as a process. */
import { execFile } from 'node:child_process';
import { availableParallelism } from 'node:os';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { hashPassword } from './password.js';

const SELF = fileURLToPath(import.meta.url);
const SECONDS = 2;

/** CPU of one hash with the default parameters, in ms, while every core computes one. */
export async function hashCost(): Promise<number> {
  const args = ['--import', 'tsx', SELF, '--measure'];
  const { stdout } = await promisify(execFile)(process.execPath, args);
  return Number(stdout);
}

async function measure(): Promise<number> {
  const loops = async (milliseconds: number): Promise<number> => {
    const until = performance.now() + milliseconds;
    const loop = async (): Promise<number> => {
      let made = 0;
      for (; performance.now() < until; made += 1) await hashPassword();
      return made;
    };
    const made = await Promise.all(Array.from({ length: availableParallelism() }, loop));
    return made.reduce((total, one) => total + one, 0);
  };
  await loops(300);
  const before = process.cpuUsage();
  const made = await loops(SECONDS * 1_000);
  const { user, system } = process.cpuUsage(before);
  return (user + system) / 1_000 / made;
}

if (process.argv.includes('--measure')) process.stdout.write(String(await measure()));
