import { sql } from 'kysely';
import { type Channel, maskDestination } from '../core/contact.js';
import type { KeyRing } from '../core/keys.js';
import type { Db } from '../db/index.js';
import type { Challenge } from './challenge.js';
import { openDestination } from './prepare-code.js';

interface ChallengeRow {
  challenge_id: string;
  channel: Channel;
  destination_sealed: Buffer;
  expires_at: Date;
  resend_at: Date;
}

/** An account's slots as they stand: what a repeated sign-up or send answers. One trip. */
export async function readChallenges(
  deps: { readonly db: Db; readonly dataKeys: KeyRing },
  accountId: string,
): Promise<readonly Challenge[]> {
  const { rows } = await sql<ChallengeRow>`
    select c.challenge_id, c.channel, c.destination_sealed, c.expires_at, c.resend_at from challenges c
    where c.account_id = ${accountId}::uuid and c.purpose = 'verify' order by c.channel`.execute(
    deps.db,
  );
  return rows.map((row) => ({
    challengeId: row.challenge_id,
    channel: row.channel,
    maskedDestination: maskDestination(
      row.channel,
      openDestination(deps.dataKeys, accountId, row.channel, row.destination_sealed),
    ),
    expiresAt: row.expires_at,
    resendAt: row.resend_at,
  }));
}
