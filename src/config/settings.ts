import { credentialSettings, keySettings } from './settings/credentials.js';
import { limitSettings } from './settings/limits.js';
import { permissionSettings } from './settings/permissions.js';
import { proofSettings } from './settings/proofs.js';
import { servingSettings } from './settings/serving.js';
import type { Setting, SettingKind } from './settings/setting.js';
import { storageSettings } from './settings/storage.js';

/** Every setting whose name is written down somewhere; those of limits follow their catalogue. */
export const settings = {
  ...servingSettings,
  ...storageSettings,
  ...proofSettings,
  ...credentialSettings,
  ...keySettings,
  ...permissionSettings,
} as const;

export type SettingName = keyof typeof settings;

/** Names of the settings of one kind. */
export type NameOf<Kind extends SettingKind> = {
  [Name in SettingName]: (typeof settings)[Name]['kind'] extends Kind ? Name : never;
}[SettingName];

export interface SettingGroup {
  readonly title: string;
  readonly settings: Readonly<Record<string, Setting>>;
}

/** All settings in the order in which they are documented. */
export function settingGroups(): readonly SettingGroup[] {
  return [
    { title: 'Serving', settings: servingSettings },
    { title: 'Storage', settings: storageSettings },
    { title: 'Messages, codes and proofs', settings: proofSettings },
    { title: 'Passwords and tokens', settings: credentialSettings },
    { title: 'Keys', settings: keySettings },
    { title: 'Permissions', settings: permissionSettings },
    { title: 'Soft limits', settings: limitSettings() },
  ];
}
