/**
 * SendPhoneVerificationCode: Redis 1, PostgreSQL 1, an insert. ConfirmPhoneNumber: PostgreSQL 2, the
 * counted guess and the redeemed code, each a commit. The message goes to the file that ours go to.
 */
import { randomInt, randomUUID } from 'node:crypto';
import { openSync, writeSync } from 'node:fs';
import { type handleUnaryCall, status } from '@grpc/grpc-js';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import type {
  ConfirmPhoneNumberRequest,
  ConfirmPhoneNumberResponse,
  SendPhoneVerificationCodeRequest,
  SendPhoneVerificationCodeResponse,
} from '../../generated/countersign/v1/auth_service.js';
import { Channel } from '../../generated/countersign/v1/challenge.js';
import { answer, type FloorModule, sha256 } from './floor.js';

export const schema: FloorModule['schema'] = [
  `create table challenges (challenge_id uuid primary key, account_id uuid not null, phone text not null,
    code_hash bytea not null, attempts int not null default 0, expires_at timestamptz not null, used_at timestamptz)`,
  `create table phones (account_id uuid primary key, phone text not null unique, verified_at timestamptz not null)`,
];

const INSERT = {
  name: 'send',
  text: `insert into challenges (challenge_id, account_id, phone, code_hash, expires_at)
    values ($1, $2, $3, $4, now() + interval '5 minutes') returning expires_at`,
};
const COUNT = {
  name: 'count',
  text: `update challenges set attempts = attempts + 1
    where challenge_id = $1 and attempts < 5 and used_at is null and expires_at > now() returning code_hash`,
};
const REDEEM = {
  name: 'redeem',
  text: `with redeemed as (
      update challenges set used_at = now() where challenge_id = $1 and used_at is null returning account_id, phone
    ) insert into phones (account_id, phone, verified_at) select account_id, phone, now() from redeemed
    returning phone, verified_at`,
};

export const handlers: FloorModule['handlers'] = ({ pool, redis, redisPrefix, messageFile }) => {
  const file = openSync(messageFile, 'a', 0o600);

  const send = async (phone: string): Promise<SendPhoneVerificationCodeResponse> => {
    await redis.incr(`${redisPrefix}${phone}`);
    const challengeId = randomUUID();
    const code = String(randomInt(1_000_000)).padStart(6, '0');
    const { rows } = await pool.query<{ expires_at: Date }>({
      ...INSERT,
      values: [challengeId, randomUUID(), phone, sha256(challengeId + code)],
    });
    const text = `${code} is your Countersign code, valid for 5 minutes. Never share it with anyone.`;
    writeSync(file, `${JSON.stringify({ channel: 'sms', to: phone, text, time: new Date() })}\n`);
    const expireTime = rows[0]?.expires_at;
    const resendTime = new Date(Date.now() + 60_000);
    const maskedDestination = `+84•••••••${phone.slice(-2)}`;
    return {
      challenge: { challengeId, channel: Channel.SMS, maskedDestination, expireTime, resendTime },
    };
  };

  const confirm = async (
    challengeId: string,
    code: string,
  ): Promise<ConfirmPhoneNumberResponse | undefined> => {
    const counted = await pool.query<{ code_hash: Buffer }>({ ...COUNT, values: [challengeId] });
    if (!counted.rows[0]?.code_hash.equals(sha256(challengeId + code))) return undefined;
    const { rows } = await pool.query<{ phone: string; verified_at: Date }>({
      ...REDEEM,
      values: [challengeId],
    });
    const [proven] = rows;
    if (proven === undefined) return undefined;
    return {
      identifier: {
        type: IdentifierType.PHONE,
        value: proven.phone,
        verified: true,
        verifyTime: proven.verified_at,
        signInEnabled: true,
        generated: false,
      },
    };
  };

  const sendHandler: handleUnaryCall<
    SendPhoneVerificationCodeRequest,
    SendPhoneVerificationCodeResponse
  > = (call, respond) =>
    answer(send(call.request.phoneNumber ?? ''), respond, status.INVALID_ARGUMENT);
  const confirmHandler: handleUnaryCall<ConfirmPhoneNumberRequest, ConfirmPhoneNumberResponse> = (
    call,
    respond,
  ) =>
    answer(
      confirm(call.request.challengeId ?? '', call.request.code),
      respond,
      status.INVALID_ARGUMENT,
    );
  return { sendPhoneVerificationCode: sendHandler, confirmPhoneNumber: confirmHandler };
};
