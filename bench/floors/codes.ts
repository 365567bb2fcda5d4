/** Codes by SMS, as the floors make and judge them that send the product's statements. */
import { createHmac, randomBytes, randomInt } from 'node:crypto';
import { openSync, writeSync } from 'node:fs';
import { sha256 } from './floor.js';

const key = randomBytes(32);

export function mac(text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}

export function drawCode(): string {
  return String(randomInt(1_000_000)).padStart(6, '0');
}

/** Of the code, with the number that it proves; the database adds the id of the challenge. */
export function macOfCode(accountId: string, phone: string, code: string): Buffer {
  return mac(`${accountId} ${phone} ${code}`);
}

/** As the database makes it of the MAC and the id. */
export function hashOfCode(codeMac: Buffer, challengeId: string): Buffer {
  return sha256(Buffer.concat([codeMac, Buffer.from(challengeId.replaceAll('-', ''), 'hex')]));
}

/** A number in the place of a sealed one: plain, and as long. */
export function inPlaceOfSealed(phone: string, bytes: number): Buffer {
  return Buffer.from(phone.padEnd(bytes));
}

export function numberIn(destination: Buffer): string {
  return destination.toString().trimEnd();
}

export function maskedNumber(phone: string): string {
  return `•••••••${phone.slice(-2)}`;
}

/** Writes codes to the file that the product's messages go to. */
export function messagesTo(path: string): (phone: string, code: string) => void {
  const file = openSync(path, 'a', 0o600);
  return (phone, code) => {
    const text = `${code} is your Countersign code, valid for 5 minutes. Never share it with anyone.`;
    writeSync(file, `${JSON.stringify({ channel: 'sms', to: phone, text, time: new Date() })}\n`);
  };
}
