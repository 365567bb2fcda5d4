import { type GetAccountDeps, getAccount } from '../accounts/index.js';
import { toAccountMessage } from './account-mapper.js';
import { authRpc } from './auth-rpcs.js';

export function accountRpcs(deps: GetAccountDeps) {
  return {
    getAccount: authRpc('getAccount', {
      parse: () => undefined,
      run: (_input, call) => getAccount(deps, call),
      toResponse: (account) => ({ account: toAccountMessage(account) }),
    }),
  };
}
