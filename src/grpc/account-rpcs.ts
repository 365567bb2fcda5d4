import {
  type CloseAccountDeps,
  closeAccount,
  type GetAccountDeps,
  getAccount,
  parseEtag,
  type UpdateAccountDeps,
  updateProfile,
  updateSettings,
} from '../accounts/index.js';
import { parseLocale, parseName, parseUsername } from '../core/contact.js';
import { parseNewPassword, parsePresentedPassword } from '../passwords/index.js';
import { type ChangePasswordDeps, changePassword } from '../sign-in/index.js';
import { toAccountMessage } from './account-mapper.js';
import { authRpc } from './auth-rpcs.js';
import { namedFields } from './field-mask.js';
import { given, MAX_NAME, together } from './parse.js';

export type AccountRpcDeps = GetAccountDeps &
  UpdateAccountDeps &
  CloseAccountDeps &
  ChangePasswordDeps;

export function accountRpcs(deps: AccountRpcDeps) {
  return {
    getAccount: authRpc('getAccount', {
      parse: () => undefined,
      run: (_input, call) => getAccount(deps, call),
      toResponse: (account) => ({ account: toAccountMessage(account) }),
    }),
    updateProfile: authRpc('updateProfile', {
      parse: ({ profile, updateMask, etag }) => {
        const { displayName = '', username = '' } = profile ?? {};
        const named = namedFields(updateMask, { display_name: displayName, username });
        return together({
          displayName: () =>
            named.has('display_name')
              ? parseName('profile.display_name', displayName, { min: 0, max: MAX_NAME })
              : undefined,
          username: () =>
            named.has('username') ? parseUsername('profile.username', username) : undefined,
          revision: () => revisionOf(etag),
        });
      },
      run: (input, call) => updateProfile(deps, call, input),
      toResponse: (account) => ({ account: toAccountMessage(account) }),
    }),
    updateSettings: authRpc('updateSettings', {
      parse: ({ settings, updateMask, etag }) => {
        const { locale = '' } = settings ?? {};
        const named = namedFields(updateMask, { locale });
        return together({
          locale: () =>
            named.has('locale') ? (parseLocale('settings.locale', locale) ?? null) : undefined,
          revision: () => revisionOf(etag),
        });
      },
      run: (input, call) => updateSettings(deps, call, input),
      toResponse: (account) => ({ account: toAccountMessage(account) }),
    }),
    closeAccount: authRpc('closeAccount', {
      parse: () => undefined,
      run: (_input, call) => closeAccount(deps, call),
      toResponse: (account) => ({ account: toAccountMessage(account) }),
    }),
    changePassword: authRpc('changePassword', {
      parse: (request) =>
        together({
          currentPassword: () =>
            parsePresentedPassword('current_password', request.currentPassword),
          // What the person is called is not known yet.
          newPassword: () =>
            parseNewPassword('new_password', request.newPassword, deps.passwordPolicy, []),
        }),
      refuses: (leftMs) => deps.hasher.refuses(leftMs),
      admit: (call) => deps.hasher.admit(call),
      run: (input, call) => changePassword(deps, call, input),
      toResponse: () => ({}),
    }),
  };
}

function revisionOf(etag: string | undefined): number | undefined {
  const text = given(etag);
  return text === undefined ? undefined : parseEtag('etag', text);
}
