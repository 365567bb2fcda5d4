import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize } from 'node:path';
import { fileURLToPath } from 'node:url';
import { describe, expect, it } from 'vitest';

const root = fileURLToPath(new URL('..', import.meta.url));

/** The import law, lowest first: a folder imports from levels below its own, never from its own. */
const LEVELS: readonly (readonly string[])[] = [
  ['core'],
  ['db'],
  ['audit', 'delivery', 'throttling', 'passwords', 'callers', 'idempotency'],
  ['challenges', 'sessions'],
  ['accounts'],
  ['organizations'],
  ['sign-in', 'recovery'],
  ['sign-up'],
  ['grpc', 'http', 'workers'],
];

/** Beside the levels: what each of these may import from. */
const BESIDE: Readonly<Record<string, readonly string[]>> = {
  config: ['core', 'delivery', 'passwords', 'throttling'],
  client: [],
  cluster: ['core'],
  metrics: ['core', 'db', 'delivery', 'passwords', 'throttling', 'grpc'],
  'logger.ts': ['core', 'config'],
  composition: [...LEVELS.flat(), 'metrics', 'config'],
  'app.ts': ['core', 'grpc', 'metrics', 'composition', 'config'],
  cli: [
    ...LEVELS.flat().filter((name) => !isEdge(name)),
    'cluster',
    'metrics',
    'config',
    'composition',
    'app.ts',
    'logger.ts',
  ],
  'main.ts': ['cli'],
};

function isEdge(name: string): boolean {
  return LEVELS.at(-1)?.includes(name) ?? false;
}

interface Import {
  readonly from: string;
  /** A file of the repository, or the name of a package. */
  readonly to: string;
}

interface Source {
  readonly path: string;
  readonly text: string;
  readonly imports: readonly Import[];
}

const sources = readSources('src');
const byPath = new Map(sources.map((source) => [source.path, source]));
const imports = sources.flatMap((source) => source.imports);

function readSources(folder: string): readonly Source[] {
  const entries = readdirSync(join(root, folder), { recursive: true, withFileTypes: true });
  return entries
    .filter((entry) => entry.isFile() && /\.[cm]?[jt]s$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name).slice(root.length))
    .map((path) => {
      const text = readFileSync(join(root, path), 'utf8');
      return { path, text, imports: importsOf(path, withoutComments(text)) };
    });
}

function withoutComments(text: string): string {
  return text.replaceAll(/^\s*(\/\*[\s\S]*?\*\/|\/\/.*$)/gm, '');
}

/** Static and dynamic imports, exports from elsewhere, and CommonJS ones. */
function importsOf(from: string, text: string): readonly Import[] {
  const specifiers = [
    ...text.matchAll(/^(?:import|export)\b[^;'"]*?\bfrom\s*'([^']+)'/gm),
    ...text.matchAll(/^import\s*'([^']+)'/gm),
    ...text.matchAll(/\b(?:import|require)\(\s*'([^']+)'\s*\)/g),
  ].map((match) => match[1] ?? '');
  return specifiers.map((specifier) => ({ from, to: resolve(from, specifier) }));
}

function resolve(from: string, specifier: string): string {
  if (!specifier.startsWith('.')) return specifier;
  return normalize(join(dirname(from), specifier)).replace(/\.js$/, '.ts');
}

/** `src/accounts/account.ts` → `accounts`; `src/app.ts` → `app.ts`; outside of `src`: nothing. */
function unitOf(path: string): string | undefined {
  const [top, unit] = path.split('/');
  return top === 'src' ? unit : undefined;
}

function allowed(unit: string): readonly string[] {
  const level = LEVELS.findIndex((names) => names.includes(unit));
  return level < 0 ? (BESIDE[unit] ?? []) : LEVELS.slice(0, level).flat();
}

function shown({ from, to }: Import): string {
  return `${from} imports ${to}`;
}

describe('the import law (docs/architecture.md)', () => {
  it('finds the imports of the house', () => {
    expect(sources.length).toBeGreaterThan(100);
    expect(imports.map(shown)).toContain('src/main.ts imports src/cli/index.ts');
    expect(imports.map(shown)).toContain('src/core/keys.ts imports node:crypto');
    const lost = imports.filter(({ to }) => to.startsWith('src/') && !byPath.has(to));
    expect(lost.map(shown)).toEqual([]);
  });

  it('knows exactly the folders of the plan', () => {
    const there = readdirSync(join(root, 'src')).sort();
    expect(there).toEqual([...LEVELS.flat(), ...Object.keys(BESIDE)].sort());
  });

  it('lets imports go downwards only', () => {
    const upwards = imports.filter(({ from, to }) => {
      const [here, there] = [unitOf(from), unitOf(to)];
      if (here === undefined || there === undefined || here === there) return false;
      return !allowed(here).includes(there);
    });
    expect(upwards.map(shown)).toEqual([]);
  });

  it('lets slices meet at index.ts only; core has no face, each of its files is one', () => {
    const inside = imports.filter(({ from, to }) => {
      const there = unitOf(to);
      if (there === undefined || there === unitOf(from) || there.includes('.')) return false;
      const face = there === 'core' ? /^src\/core\/[^/]+\.ts$/ : /^src\/[^/]+\/index\.ts$/;
      return !face.test(to);
    });
    expect(inside.map(shown)).toEqual([]);
  });

  it('has no cycle between files, types included', () => {
    expect(findCycle()).toEqual([]);
  });

  it('keeps the wire in src/grpc and src/client', () => {
    const wire = imports.filter(({ to }) => to.startsWith('generated/') || to.startsWith('@grpc/'));
    expect(wire.length).toBeGreaterThan(0);
    const elsewhere = wire.filter(({ from }) => !['grpc', 'client'].includes(unitOf(from) ?? ''));
    expect(elsewhere.map(shown)).toEqual([]);
  });

  it('lets migrations be imported by the composition and the command line alone', () => {
    const users = imports.filter(({ to }) => to.startsWith('migrations/')).map(({ from }) => from);
    expect(users.filter((from) => !['composition', 'cli'].includes(unitOf(from) ?? ''))).toEqual(
      [],
    );
  });
});

describe('every source file', () => {
  it('reads no process.env but src/config/env.ts', () => {
    expect(filesWith(/\bprocess\s*(\.\s*env\b|\[\s*['"`]env)/)).toEqual(['src/config/env.ts']);
  });

  it('has no default export', () => {
    expect(filesWith(/^export\s+default\b|\bas\s+default\b/m)).toEqual([]);
  });

  it('silences no checker and leaves nothing to do', () => {
    expect(filesWith(/@ts-(ignore|expect-error|nocheck)|biome-ignore|TODO|FIXME/, true)).toEqual(
      [],
    );
  });

  it('keeps no variable from one call to the next: tests share what they have loaded', () => {
    expect(filesWith(/^(export\s+)?(let|var)\b/m)).toEqual([]);
  });

  it('stays under 400 lines', () => {
    const long = sources.filter(({ text }) => text.split('\n').length > 400);
    expect(long.map(({ path }) => path)).toEqual([]);
  });

  it('has a name in kebab-case, with dots for roles only', () => {
    const names = sources.map(({ path }) => path);
    const odd = names.filter(
      (path) => !/^src(\/[a-z0-9]+(-[a-z0-9]+)*)+(\.tables)?\.[jt]s$/.test(path),
    );
    expect(odd).toEqual([]);
  });
});

describe('every test file', () => {
  it('that replaces a module is run alone (vitest.config.ts)', () => {
    const config = readFileSync(join(root, 'vitest.config.ts'), 'utf8');
    const alone = new Set(
      /^const ALONE = \[$([\s\S]*?)^\];$/m.exec(config)?.[1]?.match(/test\/[^']+/g),
    );
    const replacing = readSources('test').filter(({ text }) =>
      /^\s*vi\.(do)?[mM]ock\(/m.test(text),
    );
    expect(replacing).not.toEqual([]);
    expect(replacing.map(({ path }) => path).filter((path) => !alone.has(path))).toEqual([]);
  });
});

function filesWith(pattern: RegExp, comments = false): readonly string[] {
  return sources
    .filter(({ text }) => pattern.test(comments ? text : withoutComments(text)))
    .map(({ path }) => path)
    .sort();
}

/** The files of one cycle, in order; empty where there is none. */
function findCycle(): readonly string[] {
  const done = new Set<string>();
  const visit = (path: string, trail: readonly string[]): readonly string[] => {
    const start = trail.indexOf(path);
    if (start >= 0) return trail.slice(start);
    if (done.has(path)) return [];
    for (const { to } of byPath.get(path)?.imports ?? []) {
      const cycle = byPath.has(to) ? visit(to, [...trail, path]) : [];
      if (cycle.length > 0) return cycle;
    }
    done.add(path);
    return [];
  };
  for (const path of byPath.keys()) {
    const cycle = visit(path, []);
    if (cycle.length > 0) return cycle;
  }
  return [];
}
