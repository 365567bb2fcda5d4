export { loadConfig } from './config.js';
export { ConfigError, type ConfigProblem } from './config-error.js';
export type { Config, ConfiguredKeys, LogLevel, Promotion } from './config-types.js';
export { type Environment, readEnv, threadPoolSize } from './env.js';
export { KeysFileError } from './keys-file.js';
export { generateKeyLines, type Keys, loadKeys } from './secrets.js';
export type { Setting } from './settings/setting.js';
export { settingGroups } from './settings.js';
