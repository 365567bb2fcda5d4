import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface LogCall {
  readonly level: string;
  readonly message: string;
  readonly fields: readonly string[];
}

/** What a call spreads into its fields, where the name does not say it. */
const SPREADS: Readonly<Record<string, readonly string[]>> = {
  'whatFailed(error)': ['error', 'at'],
};

const CALL = /\blog(?:ger)?\??\.(debug|info|warn|error)\(/g;

/** Every line that the sources can log, read off the calls themselves. One entry for each message. */
export function logCalls(folder: string): readonly LogCall[] {
  const files = readdirSync(folder, { recursive: true, encoding: 'utf8' });
  const calls = files
    .filter((name) => name.endsWith('.ts'))
    .flatMap((name) => callsIn(readFileSync(join(folder, name), 'utf8'), name));
  const byMessage = new Map<string, LogCall>();
  for (const call of calls) {
    const known = byMessage.get(call.message);
    if (known !== undefined && known.level !== call.level) {
      throw new Error(`"${call.message}" is logged at two levels`);
    }
    const fields = [...new Set([...(known?.fields ?? []), ...call.fields])];
    byMessage.set(call.message, { ...call, fields });
  }
  return [...byMessage.values()].sort((a, b) => (a.message < b.message ? -1 : 1));
}

function callsIn(source: string, file: string): readonly LogCall[] {
  return [...source.matchAll(CALL)].flatMap((match) => {
    const [fields = '', message = ''] = splitOuter(
      inBrackets(source, match.index + match[0].length),
    );
    const messages = [...message.matchAll(/'((?:[^'\\]|\\.)*)'/g)].map(([, text = '']) => text);
    if (messages.length === 0) throw new Error(`${file}: no message in ${message}`);
    const names = fieldsOf(fields.trim(), source, file);
    return messages.map((text) => ({ level: match[1] ?? '', message: text, fields: names }));
  });
}

function fieldsOf(text: string, source: string, file: string): readonly string[] {
  if (!text.startsWith('{')) {
    const declared = new RegExp(`const ${text} = (?=\\{)`).exec(source);
    if (declared === null) throw new Error(`${file}: what are the fields of ${text}?`);
    const start = declared.index + declared[0].length;
    return fieldsOf(`{${inBrackets(source, start + 1)}}`, source, file);
  }
  return splitOuter(text.slice(1, -1)).flatMap((part) => {
    const spread = /^\.\.\.(.*)$/s.exec(part)?.[1];
    if (spread === undefined) return [/^\w+/.exec(part)?.[0] ?? part];
    const names = SPREADS[spread];
    if (names === undefined) throw new Error(`${file}: what is in ${part}?`);
    return names;
  });
}

/** From behind an opening bracket to before the one that closes it. */
function inBrackets(source: string, start: number): string {
  let depth = 1;
  for (let i = start; i < source.length; i += 1) {
    const character = source[i] ?? '';
    if (character === "'" || character === '`') i = endOfText(source, i);
    else if ('({['.includes(character)) depth += 1;
    else if (')}]'.includes(character)) depth -= 1;
    if (depth === 0) return source.slice(start, i);
  }
  throw new Error('a bracket is never closed');
}

function endOfText(source: string, start: number): number {
  let i = start + 1;
  while (source[i] !== source[start]) i += source[i] === '\\' ? 2 : 1;
  return i;
}

/** At the commas that stand in no bracket. */
function splitOuter(text: string): readonly string[] {
  const parts: string[] = [];
  let start = 0;
  let i = 0;
  for (; i < text.length; i += 1) {
    const character = text[i] ?? '';
    if (character === "'" || character === '`') i = endOfText(text, i);
    else if ('({['.includes(character)) i += inBrackets(text, i + 1).length + 1;
    else if (character === ',') {
      parts.push(text.slice(start, i));
      start = i + 1;
    }
  }
  parts.push(text.slice(start));
  return parts.map((part) => part.trim()).filter((part) => part !== '');
}
