import { randomUUID } from 'node:crypto';
import { sql } from 'kysely';
import { outcomeOf } from '../support/outcome.js';
import { type Signup, signUp, unique } from '../support/people.js';
import type { TestApp } from '../support/test-app.js';

export interface Cell {
  readonly purpose: 'verify' | 'sign_in' | 'reset';
  readonly account: 0 | 1 | 2;
  readonly channel: 'email' | 'sms';
  readonly destination: 'own' | 'contested';
}

/** Every thing that a code can be for: no code signs in by email. */
export const cells: readonly Cell[] = (['verify', 'sign_in', 'reset'] as const).flatMap((purpose) =>
  ([0, 1, 2] as const).flatMap((account) =>
    (purpose === 'sign_in' ? (['sms'] as const) : (['email', 'sms'] as const)).flatMap((channel) =>
      (['own', 'contested'] as const).map((destination) => ({
        purpose,
        account,
        channel,
        destination,
      })),
    ),
  ),
);

/**
 * All ordered pairs, those together that need the same codes to live: of one account and channel there is one
 * slot to prove an address by.
 */
export const pairs = cells
  .flatMap((from) => cells.filter((to) => to !== from).map((to) => ({ from, to })))
  .sort((a, b) => phaseOf(a).localeCompare(phaseOf(b)));

function phaseOf(pair: { from: Cell; to: Cell }): string {
  return [pair.from, pair.to]
    .map(({ purpose, destination }) => (purpose === 'verify' ? destination : ''))
    .join(' ');
}

export const nameOf = ({ purpose, account, channel, destination }: Cell): string =>
  `${purpose} for ${account} by ${channel} to the ${destination} address`;

/** Where a code of this cell is shown: the RPC, and the session in which it is called. */
export const doorOf = ({ purpose, account, channel }: Cell): string =>
  purpose === 'verify' ? `${purpose} ${channel} ${account}` : purpose;

export interface Issued {
  readonly challengeId: string;
  readonly code: string;
  readonly hash: Buffer;
}

export type Matrix = Awaited<ReturnType<typeof openMatrix>>;

/** Three accounts, and a live code of whichever cell is asked for. */
export async function openMatrix(app: TestApp) {
  const people = [await signUp(app), await signUp(app), await signUp(app)] as const;
  const contested = { email: unique.email(), sms: unique.phone() };
  const own = people.map(() => ({ email: unique.email(), sms: unique.phone() }));
  const live = new Map<string, Issued>();

  const addressOf = ({ account, channel, destination }: Cell): string =>
    (destination === 'own' ? own[account] : contested)?.[channel] ?? '';

  /** The world in which such a code is due: the address has long been this account's; for proofs it is nobody's. */
  const arrange = async (cell: Cell): Promise<void> => {
    const ids = people.map(({ accountId }) => accountId);
    await sql`delete from identifiers where account_id = any(${ids}::uuid[]) and type <> 'username'`.execute(
      app.db,
    );
    if (cell.purpose === 'verify') return;
    await sql`insert into identifiers (account_id, type, value, state, sign_in_enabled, proven_by, verified_at, created_at)
      select ${people[cell.account].accountId}::uuid, ${cell.channel === 'sms' ? 'phone' : 'email'},
        ${addressOf(cell)}, 'verified', true, 'code', m.then, m.then
      from (select now() - interval '1 day' as then) m`.execute(app.db);
  };

  return {
    arrange,
    /** Gives the cell a code, unless it has one that lives. `unlike`: by chance two may be the same. */
    async issue(cell: Cell, unlike?: Issued): Promise<Issued> {
      const standing = live.get(nameOf(cell));
      if (standing !== undefined && standing.code !== unlike?.code) return standing;
      await arrange(cell);
      const before = app.mailbox.messages.length;
      const challengeId = await send(app, cell, people[cell.account], addressOf(cell));
      await app.mailbox.waitFor(
        (message) =>
          message.to === addressOf(cell) && app.mailbox.messages.indexOf(message) >= before,
      );
      const code = app.mailbox.codeFor(addressOf(cell));
      const { rows } = await sql<{ code_hash: Buffer }>`select code_hash from challenges
        where challenge_id = ${challengeId}::uuid`.execute(app.db);
      const issued = { challengeId, code, hash: rows[0]?.code_hash ?? Buffer.alloc(0) };
      for (const [name, { challengeId: id }] of live) if (id === challengeId) live.delete(name);
      live.set(nameOf(cell), issued);
      return issued;
    },
    used: (cell: Cell) => live.delete(nameOf(cell)),
    /** Shows a code at the cell's door, with every budget lifted. */
    async show(cell: Cell, shown: Pick<Issued, 'challengeId' | 'code'>): Promise<string> {
      await sql`delete from guess_budgets`.execute(app.db);
      return outcomeOf(showAt(app, cell, people[cell.account], shown));
    },
    /** As long as `work` takes, the row of `to` has the id and the hash of `from`. */
    async graft<T>(from: Issued, to: Issued, work: () => Promise<T>): Promise<T> {
      const aside = randomUUID();
      const same = from.challengeId === to.challengeId;
      if (!same) await rename(app, from.challengeId, { challengeId: aside, hash: from.hash });
      await rename(app, to.challengeId, from);
      const result = await work();
      await rename(app, from.challengeId, to);
      if (!same) await rename(app, aside, from);
      return result;
    },
  };
}

async function rename(
  { db }: TestApp,
  id: string,
  to: Pick<Issued, 'challengeId' | 'hash'>,
): Promise<void> {
  await sql`update challenges set challenge_id = ${to.challengeId}::uuid, code_hash = ${to.hash}::bytea
    where challenge_id = ${id}::uuid`.execute(db);
}

async function send(
  { auth, clock }: TestApp,
  { purpose, channel }: Cell,
  { accessToken }: Signup,
  address: string,
): Promise<string> {
  const sent = async () => {
    if (purpose === 'sign_in') return auth.requestPhoneSignIn({ phoneNumber: address });
    if (purpose === 'reset') return auth.requestPasswordReset({ identifier: address });
    clock.advance({ seconds: 1 });
    return channel === 'email'
      ? auth.sendEmailVerificationCode({ email: address }, { accessToken })
      : auth.sendPhoneVerificationCode({ phoneNumber: address }, { accessToken });
  };
  return (await sent()).challenge?.challengeId ?? '';
}

function showAt(
  { auth }: TestApp,
  { purpose, channel }: Cell,
  { accessToken }: Signup,
  { challengeId, code }: Pick<Issued, 'challengeId' | 'code'>,
): Promise<unknown> {
  if (purpose === 'sign_in') return auth.completePhoneSignIn({ challengeId, code });
  if (purpose === 'reset') return auth.verifyPasswordResetCode({ challengeId, code });
  return channel === 'email'
    ? auth.confirmEmail({ challengeId, code }, { accessToken })
    : auth.confirmPhoneNumber({ challengeId, code }, { accessToken });
}
