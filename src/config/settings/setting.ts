interface SettingText {
  /** One paragraph for the operator, in Markdown. */
  readonly description: string;
  /** First version that knows the setting. */
  readonly since: string;
  /** As it would be written in the environment. */
  readonly default?: string;
  /** What holds where it is absent and has no default; a few words. */
  readonly absent?: string;
}

/** Off unless it is switched on. */
export interface SwitchSetting extends SettingText {
  readonly kind: 'switch';
  readonly default: string;
}

/** A setting as data: the reader checks by it and `docs/configuration.md` is written from it. */
export type Setting = SettingText &
  (
    | {
        readonly kind:
          | 'address'
          | 'keys'
          | 'path'
          | 'redis'
          | 'region'
          | 'regions'
          | 'switch'
          | 'transport';
      }
    | { readonly kind: 'choice'; readonly values: readonly string[] }
    | { readonly kind: 'duration'; readonly min: string; readonly max: string }
    | { readonly kind: 'limit' }
    | { readonly kind: 'text'; readonly maxLength: number }
    | { readonly kind: 'url'; readonly schemes: readonly string[] }
    | { readonly kind: 'whole'; readonly min: number; readonly max: number; readonly unit?: string }
  );

export type SettingKind = Setting['kind'];
