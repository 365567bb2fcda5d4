import type { RenderedMessage } from '../../src/delivery/index.js';
import type { Kind } from './model.js';
import type { IdentifierRow } from './world.js';

/**
 * What must hold whatever the model believes, read off the rows and the messages alone. `byOperator`: an
 * operator may take a way in away, and nobody else.
 */
export function checkRows(
  before: readonly IdentifierRow[],
  after: readonly IdentifierRow[],
  { byOperator }: { byOperator: boolean },
): void {
  const holders = new Map<string, number>();
  for (const row of after) {
    if (row.state !== 'verified' && row.state !== 'lapsed') continue;
    const address = `${row.type} ${row.value}`;
    holders.set(address, (holders.get(address) ?? 0) + 1);
    if (holders.get(address) === 2) throw new Error(`two accounts hold the ${address}`);
  }
  for (const { enabled, state, value } of after) {
    if (enabled && state !== 'verified' && state !== 'lapsed')
      throw new Error(`${value} is ${state} and signs in`);
  }
  if (byOperator) return;
  const lost = [...waysIn(before)].filter((id) => !waysIn(after).has(id));
  for (const id of lost) {
    const rows = after.filter(({ accountId }) => accountId === id);
    // What has just become disputed never was more than an operator's word.
    const ousted = disputed(rows) > disputed(before.filter(({ accountId }) => accountId === id));
    // Closed: nothing of it is left.
    if (rows.length > 0 && !ousted) throw new Error(`account ${id} has lost its last way in`);
  }
}

const disputed = (rows: readonly IdentifierRow[]): number =>
  rows.filter(({ state }) => state === 'disputed').length;

/** The active accounts that have one. */
function waysIn(rows: readonly IdentifierRow[]): ReadonlySet<string> {
  const open = rows.filter(
    ({ status, state, enabled, type, hasPassword }) =>
      status === 'active' && state === 'verified' && enabled && (hasPassword || type === 'phone'),
  );
  return new Set(open.map(({ accountId }) => accountId));
}

export type MessageKind = 'verify' | 'sign_in' | 'reset' | 'other';

export function kindOf({ text }: RenderedMessage): MessageKind {
  if (codeIn(text) === undefined) return 'other';
  if (text.includes('sign-in code')) return 'sign_in';
  return text.includes('password reset code') ? 'reset' : 'verify';
}

export function codeIn(text: string): string | undefined {
  return /(?<![0-9])(?:[0-9]{20}|[0-9]{6})(?![0-9])/.exec(text)?.[0];
}

/** Whether the address is entitled to such a message, by the rows before and after the step. */
export function checkEntitled(
  message: RenderedMessage,
  before: readonly IdentifierRow[],
  after: readonly IdentifierRow[],
): void {
  const kind = kindOf(message);
  const type: Kind = message.channel === 'sms' ? 'phone' : 'email';
  const at = (rows: readonly IdentifierRow[]) =>
    rows.filter((row) => row.type === type && row.value === message.to);
  const now = at(after);
  const serves = ({ state }: IdentifierRow) => state === 'verified' || state === 'contact';
  const signsIn = (row: IdentifierRow) => row.status === 'active' && row.enabled;
  const open = waysIn(after);
  const isOnlyWayIn = ({ accountId, status, state, keptDemoted }: IdentifierRow) =>
    status === 'active' && state === 'lapsed' && !keptDemoted && !open.has(accountId);
  const entitled = {
    // Whoever claims it, or proves again what they have.
    verify: now.length > 0,
    // Its holder, if the number signs in, or lapsed and nothing else does; anybody, if nobody holds it.
    sign_in:
      now.some((row) => row.state !== 'claimed' && row.state !== 'contact' && signsIn(row)) ||
      now.some(isOnlyWayIn) ||
      now.every(({ state }) => state === 'claimed' || state === 'contact'),
    reset: now.some((row) => serves(row) && row.status === 'active'),
    // A notice to who had the address or has it; a note to who has it in any state.
    other: [...at(before), ...now].length > 0,
  }[kind];
  if (!entitled)
    throw new Error(`${message.to} is not entitled to "${message.subject ?? message.text}"`);
}
