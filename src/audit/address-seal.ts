import type { Random } from '../core/ids.js';
import {
  deriveKeyRing,
  KEY_BYTES,
  type KeyRing,
  keyRing,
  mac,
  SEAL_NONCE_BYTES,
  seal,
  unseal,
} from '../core/keys.js';

/** For `accounts.audit_key` of a new account. Erasure sets the column to null. */
export function newAuditKey(random: Random): Buffer {
  return random.bytes(KEY_BYTES);
}

/**
 * Seals client addresses in the audit. Those of an account need two keys: its own, whose destruction
 * erases them from rows that are never changed, and the server's, so that a dump, which holds the
 * first one, does not show them. Where there is no account, the server's alone.
 */
export interface AddressSeal {
  seal(eventId: string, address: string, auditKey: Buffer | undefined): Buffer;
  /** Throws where the keys are not those that sealed it. */
  unseal(eventId: string, sealed: Buffer, auditKey: Buffer | undefined): string;
}

export function createAddressSeal(dataKeys: KeyRing, random: Random): AddressSeal {
  const server = deriveKeyRing(dataKeys, 'audit-address');
  const ringFor = (auditKey: Buffer | undefined): KeyRing =>
    auditKey === undefined
      ? server
      : keyRing(server.all.map(({ key }) => mac(key, 'account', auditKey)));
  return {
    seal(eventId, address, auditKey) {
      const nonce = random.nonce(SEAL_NONCE_BYTES);
      return seal(ringFor(auditKey), nonce, `audit:${eventId}`, Buffer.from(address, 'utf8'));
    },
    unseal: (eventId, sealed, auditKey) =>
      unseal(ringFor(auditKey), `audit:${eventId}`, sealed).toString('utf8'),
  };
}
