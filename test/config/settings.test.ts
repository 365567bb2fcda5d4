import { readFile } from 'node:fs/promises';
import { describe, expect, it } from 'vitest';
import { renderConfigurationPage } from '../../scripts/configuration-page.js';
import { loadConfig, readEnv, settingGroups } from '../../src/config/index.js';
import { limiterNames, resolveLimits } from '../../src/throttling/index.js';

const settings = settingGroups().flatMap((group) => Object.entries(group.settings));

describe('the settings', () => {
  it('are documented by docs/configuration.md, generated and equal', async () => {
    const page = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8');

    expect(page).toBe(renderConfigurationPage());
    for (const [name] of settings) expect(page).toContain(`\`${name}\``);
  });

  it('have defaults that they accept themselves', () => {
    const defaults = settings.flatMap(([name, setting]) =>
      setting.default === undefined ? [] : [[name, setting.default]],
    );
    const { limits, ...config } = loadConfig(Object.fromEntries(defaults));
    const { limits: none, ...bare } = loadConfig({});

    expect(config).toEqual(bare);
    expect(none).toEqual({});
    expect(resolveLimits(limits)).toEqual(resolveLimits());
  });

  it('say what happens without them', () => {
    for (const [name, { default: standard, absent }] of settings) {
      expect(
        [standard, absent].filter((text) => text !== undefined),
        name,
      ).toHaveLength(1);
    }
  });

  it('hold one for each soft limiter of the catalogue', () => {
    const names = settings.map(([name]) => name).filter((name) => name.startsWith('LIMIT_'));

    expect(names).toHaveLength(limiterNames.length);
    expect(names).toContain('LIMIT_SENDS_PER_ADDRESS_SHORT');
    const env = Object.fromEntries(names.map((name) => [name, '7/7s']));
    expect(Object.keys(loadConfig(env).limits).sort()).toEqual([...limiterNames].sort());
  });

  it('come from a copy of the environment', () => {
    const env = readEnv();

    expect(env['PATH']).toBe(process.env['PATH']);
    env['PATH'] = '';
    expect(process.env['PATH']).not.toBe('');
  });
});
