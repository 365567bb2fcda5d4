import { randomUUID } from 'node:crypto';
import { type FileHandle, link, mkdir, open, rm } from 'node:fs/promises';
import { join } from 'node:path';
import type { Random } from '../core/ids.js';
import { KEY_BYTES } from '../core/keys.js';
import { checkKeys, decodeKey } from './key-values.js';

/** The file cannot be used as it is; the message says what to do. Never holds a key. */
export class KeysFileError extends Error {
  override readonly name = 'KeysFileError';
}

export const RING_NAMES = ['code', 'token', 'data', 'peppers'] as const;
export type RingName = (typeof RING_NAMES)[number];
export type KeyLists = Readonly<Record<RingName, readonly Buffer[]>>;

const FILE_NAME = 'keys.json';
const FORMAT = 1;
const MAX_BYTES = 64 * 1024;
const GROUP_AND_OTHERS = 0o077;

export function newKeys(random: Random): KeyLists {
  const one = (): readonly Buffer[] => [random.bytes(KEY_BYTES)];
  return { code: one(), token: one(), data: one(), peppers: one() };
}

/**
 * The keys in a folder's file, made first where there is none. Any number of processes may do this at
 * once: the file appears whole, by a link that only one of them can make, and all read that one.
 *
 * @throws KeysFileError where the file is open to others or is not what this wrote.
 */
export async function readOrMakeKeys(
  folder: string,
  random: Random,
): Promise<{ readonly path: string; readonly keys: KeyLists }> {
  const path = join(folder, FILE_NAME);
  const found = await readKeys(path);
  if (found !== undefined) return { path, keys: found };
  await mkdir(folder, { recursive: true, mode: 0o700 });
  await make(folder, path, newKeys(random));
  const keys = await readKeys(path);
  if (keys === undefined) throw new KeysFileError(`${path} vanished while it was being made`);
  return { path, keys };
}

async function make(folder: string, path: string, keys: KeyLists): Promise<void> {
  const draft = join(folder, `keys.${randomUUID()}.draft`);
  const lists = RING_NAMES.map((name) => [name, keys[name].map((key) => key.toString('base64'))]);
  const text = JSON.stringify({ format: FORMAT, ...Object.fromEntries(lists) }, null, 2);
  try {
    await writeDurably(draft, `${text}\n`);
    await link(draft, path);
    await syncFolder(folder);
  } catch (error) {
    // Another process was first: its keys count.
    if (!hasCode(error, 'EEXIST')) throw error;
  } finally {
    await rm(draft, { force: true });
  }
}

/** What is sealed under these keys must not outlive them in a crash of the machine. */
async function writeDurably(path: string, text: string): Promise<void> {
  await using file = await open(path, 'wx', 0o600);
  await file.writeFile(text);
  await file.sync();
}

async function syncFolder(folder: string): Promise<void> {
  await using handle = await open(folder, 'r');
  await handle.sync();
}

async function readKeys(path: string): Promise<KeyLists | undefined> {
  let file: FileHandle;
  try {
    file = await open(path, 'r');
  } catch (error) {
    if (hasCode(error, 'ENOENT')) return undefined;
    if (hasCode(error, 'EACCES')) {
      throw new KeysFileError(`${path} cannot be read by this user: run as its owner`);
    }
    throw error;
  }
  try {
    // Of the opened file, so that what is judged is what is read.
    const { mode, size } = await file.stat();
    if ((mode & GROUP_AND_OTHERS) !== 0) {
      throw new KeysFileError(
        `${path} holds secret keys and other users have access to it: run chmod 600 on it, and make new keys if anybody may have read them`,
      );
    }
    if (size > MAX_BYTES) throw malformed(path, 'it is too large');
    return parseFile(path, await file.readFile('utf8'));
  } finally {
    await file.close();
  }
}

function parseFile(path: string, text: string): KeyLists {
  let content: unknown;
  try {
    content = JSON.parse(text);
  } catch {
    throw malformed(path, 'it is not JSON');
  }
  if (typeof content !== 'object' || content === null) throw malformed(path, 'it is no object');
  const fields = new Map<string, unknown>(Object.entries(content));
  if (fields.get('format') !== FORMAT) throw malformed(path, `its format is not ${FORMAT}`);
  const list = (name: RingName): readonly Buffer[] => parseList(path, name, fields.get(name));
  return {
    code: list('code'),
    token: list('token'),
    data: list('data'),
    peppers: list('peppers'),
  };
}

function parseList(path: string, name: RingName, value: unknown): readonly Buffer[] {
  const parts: readonly unknown[] = Array.isArray(value) ? value : [];
  const keys = parts
    .map((part) => (typeof part === 'string' ? decodeKey(part) : undefined))
    .filter((key) => key !== undefined);
  if (keys.length < parts.length) {
    throw malformed(path, `"${name}" holds something that is no key of ${KEY_BYTES} bytes`);
  }
  const checked = checkKeys(keys);
  if ('wrong' in checked) throw malformed(path, `"${name}" is ${checked.wrong}`);
  return checked.value;
}

function malformed(path: string, what: string): KeysFileError {
  return new KeysFileError(
    `${path} cannot be used: ${what}. Restore it from a backup; without its keys, what they sealed and hashed is lost`,
  );
}

function hasCode(error: unknown, code: string): boolean {
  return error instanceof Error && 'code' in error && error.code === code;
}
