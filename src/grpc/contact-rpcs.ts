import { IdentifierType } from '../../generated/countersign/v1/account.js';
import {
  type Account,
  removeContact,
  type SetPhoneNumberDeps,
  type SetSignInEnabledDeps,
  type SetSignInEnabledInput,
  setPhoneNumber,
  setSignInEnabled,
} from '../accounts/index.js';
import { type PhonePolicy, parsePhone } from '../core/contact.js';
import { fieldInvalid } from '../core/errors.js';
import { toAccountMessage, toIdentifierMessage } from './account-mapper.js';
import { authRpc } from './auth-rpcs.js';
import { given, together } from './parse.js';

export interface ContactRpcDeps extends SetPhoneNumberDeps, SetSignInEnabledDeps {
  readonly phonePolicy: PhonePolicy;
  readonly defaultRegion: string | undefined;
}

export function contactRpcs(deps: ContactRpcDeps) {
  const { phonePolicy, defaultRegion } = deps;
  return {
    setPhoneNumber: authRpc('setPhoneNumber', {
      parse: ({ phoneNumber, region }) =>
        parsePhone('phone_number', phoneNumber, given(region) ?? defaultRegion, phonePolicy),
      run: (phone, call) => setPhoneNumber(deps, call, phone),
      toResponse,
    }),
    removePhoneNumber: authRpc('removePhoneNumber', {
      parse: () => 'phone' as const,
      run: (type, call) => removeContact(deps, call, type),
      toResponse,
    }),
    removeEmail: authRpc('removeEmail', {
      parse: () => 'email' as const,
      run: (type, call) => removeContact(deps, call, type),
      toResponse,
    }),
    setSignInEnabled: authRpc('setSignInEnabled', {
      parse: ({ type, enabled }): SetSignInEnabledInput =>
        together({ type: () => parseType(type), enabled: () => enabled }),
      run: (input, call) => setSignInEnabled(deps, call, input),
      toResponse: (identifier) => ({ identifier: toIdentifierMessage(identifier) }),
    }),
  };
}

const toResponse = (account: Account) => ({ account: toAccountMessage(account) });

const types: ReadonlyMap<IdentifierType, SetSignInEnabledInput['type']> = new Map([
  [IdentifierType.USERNAME, 'username'],
  [IdentifierType.EMAIL, 'email'],
  [IdentifierType.PHONE, 'phone'],
]);

function parseType(wire: IdentifierType): SetSignInEnabledInput['type'] {
  const type = types.get(wire);
  if (type === undefined) throw fieldInvalid('type', 'must name a type of identifier');
  return type;
}
