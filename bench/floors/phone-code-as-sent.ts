/**
 * SendPhoneVerificationCode: Redis 1, PostgreSQL 1. ConfirmPhoneNumber: PostgreSQL 2. The statements are
 * the ones that the product sends, on its schema; beside them one verification of the access token, the
 * MACs of address and code, and the line of the message. What must be sealed is random, or plain and as
 * long. Nothing marks the message as sent.
 */
import { createPublicKey, type KeyObject, randomUUID } from 'node:crypto';
import { type handleUnaryCall, type Metadata, type ServerUnaryCall, status } from '@grpc/grpc-js';
import { IdentifierType } from '../../generated/countersign/v1/account.js';
import type {
  ConfirmPhoneNumberRequest,
  ConfirmPhoneNumberResponse,
  SendPhoneVerificationCodeRequest,
  SendPhoneVerificationCodeResponse,
} from '../../generated/countersign/v1/auth_service.js';
import { Channel } from '../../generated/countersign/v1/challenge.js';
import {
  drawCode,
  hashOfCode,
  inPlaceOfSealed,
  mac,
  macOfCode,
  maskedNumber,
  messagesTo,
  numberIn,
} from './codes.js';
import {
  answer,
  type Claims,
  type FloorContext,
  type FloorModule,
  verifiedClaims,
} from './floor.js';
import { readTemplates, statementOf } from './templates.js';

export const schema: FloorModule['schema'] = [];

interface SentRow {
  readonly challenge_id: string | null;
  readonly expires_at: Date;
  readonly resend_at: Date;
}

interface CountedRow {
  readonly code_hash: Buffer;
  readonly destination_sealed: Buffer;
  readonly address_subject: Buffer;
}

interface ProvenRow {
  readonly redeemed: boolean;
  readonly value: string;
  readonly verified_at: Date;
  readonly sign_in_enabled: boolean;
}

export const handlers: FloorModule['handlers'] = (context) => {
  const send = sending(context);
  const confirm = confirming(context);
  const { person } = callers(context);
  const sendHandler: handleUnaryCall<
    SendPhoneVerificationCodeRequest,
    SendPhoneVerificationCodeResponse
  > = (call, respond) => answer(work(call, person, send), respond, status.INVALID_ARGUMENT);
  const confirmHandler: handleUnaryCall<ConfirmPhoneNumberRequest, ConfirmPhoneNumberResponse> = (
    call,
    respond,
  ) => answer(work(call, person, confirm), respond, status.INVALID_ARGUMENT);
  return { sendPhoneVerificationCode: sendHandler, confirmPhoneNumber: confirmHandler };
};

function sending({ pool, redis, redisPrefix, messageFile, templates }: FloorContext) {
  const { send, destinationBytes } = readTemplates(templates);
  const statement = statementOf(send[0]);
  const write = messagesTo(messageFile);
  return async (
    claims: Claims,
    { phoneNumber: phone = '' }: SendPhoneVerificationCodeRequest,
  ): Promise<SendPhoneVerificationCodeResponse | undefined> => {
    await redis.incr(`${redisPrefix}${phone}`);
    const code = drawCode();
    const { rows } = await pool.query<SentRow>(
      statement({
        accountId: claims.sub,
        sessionId: claims.sid,
        authTime: new Date(claims.auth_time * 1_000).toISOString(),
        phone,
        challengeId: randomUUID(),
        addressSubject: mac(phone),
        destinationSealed: inPlaceOfSealed(phone, destinationBytes),
        codeMac: macOfCode(claims.sub, phone, code),
      }),
    );
    const challengeId = rows[0]?.challenge_id ?? undefined;
    if (challengeId === undefined) return undefined;
    write(phone, code);
    const maskedDestination = maskedNumber(phone);
    const times = { expireTime: rows[0]?.expires_at, resendTime: rows[0]?.resend_at };
    return { challenge: { challengeId, channel: Channel.SMS, maskedDestination, ...times } };
  };
}

function confirming({ pool, templates }: FloorContext) {
  const [count, redeem] = readTemplates(templates).confirm.map(statementOf);
  if (count === undefined || redeem === undefined) throw new Error('confirming takes two trips');
  return async (
    claims: Claims,
    { challengeId = '', code }: ConfirmPhoneNumberRequest,
  ): Promise<ConfirmPhoneNumberResponse | undefined> => {
    const session = { accountId: claims.sub, sessionId: claims.sid, challengeId };
    const counted = await pool.query<CountedRow>(count(session));
    const [guess] = counted.rows;
    if (guess === undefined) return undefined;
    const phone = numberIn(guess.destination_sealed);
    const codeHash = hashOfCode(macOfCode(claims.sub, phone, code), challengeId);
    if (!codeHash.equals(guess.code_hash)) return undefined;
    const { rows } = await pool.query<ProvenRow>(
      redeem({ ...session, phone, addressSubject: guess.address_subject, codeHash }),
    );
    const [proven] = rows;
    if (proven?.redeemed !== true) return undefined;
    return {
      identifier: {
        type: IdentifierType.PHONE,
        value: proven.value,
        verified: true,
        verifyTime: proven.verified_at,
        signInEnabled: proven.sign_in_enabled,
        generated: false,
      },
    };
  };
}

/** Who calls, by the key that the seeded tokens were signed with; it is read once. */
function callers({ pool }: FloorContext) {
  let found: Promise<KeyObject> | undefined;
  const read = async (): Promise<KeyObject> => {
    const { rows } = await pool.query('select public_jwk from signing_keys');
    return createPublicKey({ key: rows[0].public_jwk, format: 'jwk' });
  };
  return {
    async person(metadata: Metadata): Promise<Claims | undefined> {
      found ??= read();
      const [bearer] = metadata.get('authorization');
      return verifiedClaims(String(bearer).slice('Bearer '.length), await found);
    },
  };
}

async function work<Request, Response>(
  { metadata, request }: ServerUnaryCall<Request, Response>,
  person: (metadata: Metadata) => Promise<Claims | undefined>,
  handle: (claims: Claims, request: Request) => Promise<Response | undefined>,
): Promise<Response | undefined> {
  const claims = await person(metadata);
  return claims === undefined ? undefined : handle(claims, request);
}
