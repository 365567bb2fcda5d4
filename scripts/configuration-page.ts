import type { Setting } from '../src/config/index.js';
import { settingGroups } from '../src/config/index.js';

const INTRODUCTION = `# Configuration

<!-- Generated from src/config/settings by scripts/generate-configuration.ts. Do not edit. -->

Countersign is configured by environment variables alone, and starts without any: on loopback, on an
embedded database, with limits in memory and messages on standard output. An empty value counts as absent.
Everything that is wrong is reported at once, before anything is opened, and the process exits.

- **Durations** are a whole number and a unit: \`90s\`, \`15m\`, \`12h\`, \`30d\`.
- **Numbers** are decimal digits. **Switches** are \`true\`, \`false\`, \`1\` or \`0\`.
- **Addresses** are \`host:port\`, IPv6 in brackets: \`[::1]:50051\`.

**Development** means that every listener is on loopback. Off loopback each danger refuses to start
until it is removed or permitted by its own name, under [Permissions](#permissions).
`;

const NOTES: Readonly<Record<string, string>> = {
  Keys: `Each is a list of keys separated by commas, every one exactly 32 random bytes in base64 or hex. The
first is the current one and makes what is new; the others still open and verify what they once made.
To rotate, put a new key first and keep the old one as long as anything made under it may be needed.
\`countersign keys generate\` prints lines with fresh keys.

With \`DATABASE_URL\` off loopback the first three are required. Else those that are absent are read from
\`keys.json\` in \`DATA_DIR\` (mode 0600), which is made at the first start. Back it up with the database:
without it, what was sealed and hashed under its keys is lost. It is refused when other users have access.
`,
  Permissions: `Each permits one danger off loopback (the last one anywhere), and nothing else.
`,
  'Soft limits': `One per limiter of [throttling](throttling.md), as \`points/window\`: \`30/1m\` is thirty in a minute. Windows
are at most 30 days. Hard counts (guesses, locks, cooldowns) do not depend on them.
`,
};

const OUTSIDE = `## Read elsewhere

- \`TEST_DATABASE_URL\`, \`TEST_REDIS_URL\`, \`REQUIRE_SERVICES\`: the tests also run on these services; with
  \`REQUIRE_SERVICES=1\` their absence is a failure.
`;

/** `docs/configuration.md`, from the settings as data. */
export function renderConfigurationPage(): string {
  const sections = settingGroups().map(({ title, settings }) => {
    const note = NOTES[title];
    const entries = Object.entries(settings);
    const body = title === 'Soft limits' ? table(entries) : entries.map(entry).join('\n');
    return [`## ${title}\n`, ...(note === undefined ? [] : [note]), body].join('\n');
  });
  return [INTRODUCTION, ...sections, OUTSIDE].join('\n');
}

function entry([name, setting]: readonly [string, Setting]): string {
  const facts = [
    `${accepts(setting)}`,
    setting.default === undefined
      ? `without it: ${setting.absent ?? 'nothing'}`
      : `default \`${setting.default}\``,
    `since ${setting.since}`,
  ];
  return `### \`${name}\`\n\n*${facts.join(' · ')}*\n\n${setting.description}\n`;
}

function table(entries: readonly (readonly [string, Setting])[]): string {
  const rows = entries.map(
    ([name, { default: standard, description, since }]) =>
      `| \`${name}\` | \`${standard}\` | ${description} | ${since} |`,
  );
  return ['| name | default | limiter | since |', '|---|---|---|---|', ...rows, ''].join('\n');
}

function accepts(setting: Setting): string {
  switch (setting.kind) {
    case 'address':
      return 'host:port';
    case 'choice':
      return setting.values.map((value) => `\`${value}\``).join(' or ');
    case 'duration':
      return `duration from ${setting.min} to ${setting.max}`;
    case 'keys':
      return 'list of keys';
    case 'limit':
      return 'points/window';
    case 'path':
      return 'path';
    case 'redis':
      return 'address of Redis';
    case 'region':
      return 'region';
    case 'regions':
      return 'list of regions';
    case 'switch':
      return 'switch';
    case 'text':
      return `text of at most ${setting.maxLength} printable ASCII characters`;
    case 'transport':
      return '`console` or `file:PATH`';
    case 'url':
      return `URL (${setting.schemes.map((scheme) => `\`${scheme}://\``).join(' or ')})`;
    case 'whole':
      return `number from ${setting.min} to ${setting.max}${setting.unit === undefined ? '' : `, in ${setting.unit}`}`;
  }
}
