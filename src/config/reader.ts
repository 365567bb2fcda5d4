import type { LimiterName, LimitOverrides } from '../throttling/index.js';
import {
  limiterNames,
  parseRedisAddress,
  REDIS_FORMS,
  resolveLimits,
} from '../throttling/index.js';
import type { ConfigProblem } from './config-error.js';
import type { Environment } from './env.js';
import { parseKeys } from './key-values.js';
import { limitVariable } from './settings/limits.js';
import type { Setting } from './settings/setting.js';
import { type NameOf, type SettingName, settings } from './settings.js';
import {
  type Parsed,
  parseAddress,
  parseDuration,
  parseLimit,
  parseRegion,
  parseRegions,
  parseSwitch,
  parseTransport,
  parseUrl,
  parseWhole,
} from './values.js';

/** Names of settings that always have a value. */
type Defaulted<Name extends SettingName> = {
  [N in Name]: (typeof settings)[N] extends { readonly default: string } ? N : never;
}[Name];

type Choice<Name extends NameOf<'choice'>> = (typeof settings)[Name]['values'][number];

const PRINTABLE = /^[\x21-\x7e]+$/;
const MAX_PATH = 4_096;

export type Reader = ReturnType<typeof createReader>;

/**
 * Reads settings out of an environment and collects what is wrong. Where a value is wrong the default
 * stands in, only so that reading can go on: nothing is used once a problem is there.
 */
export function createReader(env: Environment) {
  const problems: ConfigProblem[] = [];

  /** An empty string means absent, since that is what compose files and shells make of "not set". */
  const text = (name: string): string | undefined => env[name] || undefined;

  const problem = (name: string, wrong: string, remedy: string): void => {
    problems.push({ name, wrong, remedy });
  };

  function optional<T>(name: SettingName, parse: (text: string) => Parsed<T>): T | undefined {
    const written = text(name);
    if (written === undefined) return undefined;
    const parsed = parse(written);
    if ('value' in parsed) return parsed.value;
    problem(name, `the value is ${parsed.wrong}`, remedyFor(settings[name]));
    return undefined;
  }

  function defaulted<T>(name: SettingName, parse: (text: string) => Parsed<T>): T {
    const value = optional(name, parse);
    if (value !== undefined) return value;
    const setting: Setting = settings[name];
    const standard = parse(setting.default ?? '');
    if ('wrong' in standard) throw new Error(`the default of ${name} is ${standard.wrong}`);
    return standard.value;
  }

  return {
    problems,
    problem,
    /** Something is written there and reported already: then it is not missing. */
    faulty: (name: SettingName) => problems.some((found) => found.name === name),
    address: (name: NameOf<'address'>) => defaulted(name, parseAddress),
    transport: (name: NameOf<'transport'>) => defaulted(name, parseTransport),
    flag: (name: NameOf<'switch'>) => defaulted(name, parseSwitch),
    url: (name: NameOf<'url'>) =>
      optional(name, (value) => parseUrl(value, settings[name].schemes)),
    redisUrl: (name: NameOf<'redis'>) => optional(name, parseRedisUrl),
    keys: (name: NameOf<'keys'>) => optional(name, parseKeys),
    region: (name: NameOf<'region'>) => optional(name, parseRegion),
    regions: (name: NameOf<'regions'>) => optional(name, parseRegions),
    path: (name: Defaulted<NameOf<'path'>>) => defaulted(name, parsePath),
    optionalPath: (name: NameOf<'path'>) => optional(name, parsePath),
    text: (name: Defaulted<NameOf<'text'>>) => defaulted(name, (value) => parseText(name, value)),
    optionalText: (name: NameOf<'text'>) => optional(name, (value) => parseText(name, value)),
    choice: <Name extends NameOf<'choice'>>(name: Name): Choice<Name> =>
      defaulted(name, (value) => parseChoice<Choice<Name>>(settings[name].values, value)),
    whole: (name: Defaulted<NameOf<'whole'>>) =>
      defaulted(name, (value) => boundWhole(name, value)),
    optionalWhole: (name: NameOf<'whole'>) => optional(name, (value) => boundWhole(name, value)),
    seconds: (name: NameOf<'duration'>) => defaulted(name, (value) => boundDuration(name, value)),
    limits: () => readLimits(text, problem),
  };
}

/** Judged by what connects to it; kept as it is written. */
function parseRedisUrl(text: string): Parsed<string> {
  const parsed = parseRedisAddress(text);
  return 'wrong' in parsed ? parsed : { value: text };
}

function parsePath(text: string): Parsed<string> {
  if (text.length > MAX_PATH || text.includes('\0')) return { wrong: 'not a path' };
  return { value: text };
}

function parseText(name: NameOf<'text'>, text: string): Parsed<string> {
  const { maxLength } = settings[name];
  if (PRINTABLE.test(text) && text.length <= maxLength) return { value: text };
  return { wrong: `not 1 to ${maxLength} printable ASCII characters without spaces` };
}

function parseChoice<T extends string>(values: readonly T[], text: string): Parsed<T> {
  const value = values.find((candidate) => candidate === text);
  return value === undefined ? { wrong: `none of ${values.join(', ')}` } : { value };
}

function boundWhole(name: NameOf<'whole'>, text: string): Parsed<number> {
  const { min, max } = settings[name];
  const parsed = parseWhole(text);
  if ('wrong' in parsed || (parsed.value >= min && parsed.value <= max)) return parsed;
  return { wrong: `${parsed.value < min ? 'below' : 'above'} what is accepted` };
}

function boundDuration(name: NameOf<'duration'>, text: string): Parsed<number> {
  const [value, min, max] = [text, settings[name].min, settings[name].max].map(parseDuration);
  if (value === undefined || 'wrong' in value) return value ?? { wrong: 'missing' };
  if (min !== undefined && 'value' in min && value.value < min.value) {
    return { wrong: 'shorter than what is accepted' };
  }
  if (max !== undefined && 'value' in max && value.value > max.value) {
    return { wrong: 'longer than what is accepted' };
  }
  return value;
}

/** Only what is set; the catalogue of `throttling` has the rest, and judges sizes and windows. */
function readLimits(
  text: (name: string) => string | undefined,
  problem: (name: string, wrong: string, remedy: string) => void,
): LimitOverrides {
  const overrides: { -readonly [Name in LimiterName]?: LimitOverrides[Name] } = {};
  for (const name of limiterNames) {
    const variable = limitVariable(name);
    const written = text(variable);
    if (written === undefined) continue;
    const parsed = parseLimit(written);
    const wrong = 'wrong' in parsed ? `the value is ${parsed.wrong}` : refusal(name, parsed.value);
    if (wrong !== undefined) problem(variable, wrong, 'Write it as points/window: 30/1m');
    else if ('value' in parsed) overrides[name] = parsed.value;
  }
  return overrides;
}

function refusal(name: LimiterName, size: NonNullable<LimitOverrides[LimiterName]>) {
  try {
    resolveLimits({ [name]: size });
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}

function remedyFor(setting: Setting): string {
  switch (setting.kind) {
    case 'address':
      return 'Write host:port, such as 127.0.0.1:50051 or [::1]:50051';
    case 'choice':
      return `Write one of ${setting.values.join(', ')}`;
    case 'duration':
      return `Write a duration from ${setting.min} to ${setting.max}`;
    case 'keys':
      return 'Make one with "countersign keys generate"; write the current one first and older ones after commas';
    case 'limit':
      return 'Write points/window: 30/1m';
    case 'path':
      return 'Write the path of a file or folder';
    case 'redis':
      return `Write ${REDIS_FORMS.join(' or ')}; rediss for TLS`;
    case 'region':
      return 'Write a code such as VN';
    case 'regions':
      return 'Write codes separated by commas: VN,SG';
    case 'switch':
      return 'Write true or false (1 or 0)';
    case 'text':
      return `Write at most ${setting.maxLength} printable ASCII characters`;
    case 'transport':
      return 'Write console or file:PATH';
    case 'url':
      return `Write a URL: ${setting.schemes[0]}://user@host:port/…`;
    case 'whole':
      return `Write a whole number from ${setting.min} to ${setting.max}`;
  }
}
