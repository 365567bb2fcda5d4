import { generateKeyLines } from '../config/index.js';
import { systemRandom } from '../core/ids.js';
import { type Command, UsageError } from './usage.js';

export const keysCommand: Command = {
  summary: 'make keys for CODE_KEYS, TOKEN_KEYS, DATA_KEYS and PASSWORD_PEPPERS',
  help: [
    'Usage: countersign keys generate',
    '',
    'Prints four lines for the environment, each with one new key of 32 random bytes. To rotate, put a',
    'new key before the old ones, separated by a comma: the first seals and signs, all of them open.',
  ].join('\n'),
  async run(args) {
    if (args.length !== 1 || args[0] !== 'generate') throw new UsageError('keys: say what to do');
    process.stdout.write(`${generateKeyLines(systemRandom)}\n`);
  },
};
