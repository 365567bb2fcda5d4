import {
  type Account as AccountMessage,
  AccountStatus,
  type Identifier as IdentifierMessage,
  IdentifierType,
} from '../../generated/countersign/v1/account.js';
import { type Account, etagOf, type Identifier, isVerified } from '../accounts/index.js';

const statuses = {
  active: AccountStatus.ACTIVE,
  blocked: AccountStatus.BLOCKED,
  deactivated: AccountStatus.DEACTIVATED,
  closed: AccountStatus.CLOSED,
} as const satisfies Record<Account['status'], AccountStatus>;

const types = {
  username: IdentifierType.USERNAME,
  email: IdentifierType.EMAIL,
  phone: IdentifierType.PHONE,
} as const satisfies Record<Identifier['type'], IdentifierType>;

export function toAccountMessage(account: Account): AccountMessage {
  return {
    accountId: account.accountId,
    status: statuses[account.status],
    profile: {
      displayName: account.displayName,
      username: account.identifiers.find(({ type }) => type === 'username')?.value ?? '',
    },
    settings: { locale: account.locale ?? '' },
    identifiers: account.identifiers.map(toIdentifierMessage),
    createTime: account.createdAt,
    updateTime: account.updatedAt,
    etag: etagOf(account),
  };
}

export function toIdentifierMessage(identifier: Identifier): IdentifierMessage {
  return {
    type: types[identifier.type],
    value: identifier.value,
    verified: isVerified(identifier),
    verifyTime: identifier.verifiedAt,
    signInEnabled: identifier.signInEnabled,
    generated: identifier.generated,
  };
}
