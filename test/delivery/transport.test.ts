import { execFile } from 'node:child_process';
import { closeSync, constants, openSync } from 'node:fs';
import { mkdir, mkdtemp, readFile, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import {
  createTransport,
  type RenderedMessage,
  TransportTargetError,
} from '../../src/delivery/index.js';

const sms: RenderedMessage = {
  channel: 'sms',
  to: '+84901234567',
  subject: null,
  text: '493021 là mã của bạn.',
  html: null,
  locale: 'vi',
  time: new Date('2026-11-21T03:00:00.000Z'),
};
const mail: RenderedMessage = {
  ...sms,
  channel: 'email',
  to: 'lan@example.vn',
  subject: 'Mã',
  text: '493021\n\nhai dòng\n',
  html: '<p>493021</p>',
};
const { signal } = new AbortController();

describe('console transport (M1)', () => {
  it('shows address, subject and code as a block on standard output', async () => {
    const written: string[] = [];
    const stdout = { write: (text: string) => written.push(text) };
    await createTransport('console', { stdout }).send(mail, signal);
    expect(written).toEqual([
      '┌─ Mail to lan@example.vn (vi, 2026-11-21T03:00:00.000Z)\n│ Mã\n│\n│ 493021\n│\n│ hai dòng\n└─\n',
    ]);
  });
});

describe('file transport (M1)', () => {
  let folder = '';
  const stdout = { write: () => true };
  beforeEach(async () => {
    folder = await mkdtemp(join(tmpdir(), 'countersign-mail-'));
  });
  afterEach(() => rm(folder, { recursive: true, force: true }));

  it('appends one JSON object a line with the published keys, in a private file', async () => {
    const path = join(folder, 'new', 'folder', 'mail.jsonl');
    const transport = createTransport(`file:${path}`, { stdout });
    await transport.send(mail, signal);
    await transport.send(sms, signal);

    const lines = (await readFile(path, 'utf8')).split('\n');
    expect(lines.pop()).toBe('');
    const records = lines.map((line): unknown => JSON.parse(line));
    expect(records).toEqual([
      { ...mail, time: '2026-11-21T03:00:00.000Z' },
      { ...sms, time: '2026-11-21T03:00:00.000Z' },
    ]);
    for (const record of records) {
      expect(Object.keys(record as object)).toEqual([
        'channel',
        'to',
        'subject',
        'text',
        'html',
        'locale',
        'time',
      ]);
    }
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  });

  it('goes on in a new file when the old one was taken away', async () => {
    const path = join(folder, 'mail.jsonl');
    const transport = createTransport(`file:${path}`, { stdout });
    await transport.send(sms, signal);
    await rm(path);
    await transport.send(mail, signal);
    expect((await readFile(path, 'utf8')).trimEnd().split('\n')).toHaveLength(1);
  });

  it('rejects, with a code, where it cannot write any more', async () => {
    const path = join(folder, 'mail.jsonl');
    const transport = createTransport(`file:${path}`, { stdout });
    await rm(path);
    await mkdir(path);
    await expect(transport.send(sms, signal)).rejects.toMatchObject({ code: 'EISDIR' });
  });

  it('never waits for the reader of a FIFO, at the start or later', async () => {
    const path = join(folder, 'mail.jsonl');
    const transport = createTransport(`file:${path}`, { stdout });
    await rm(path);
    await promisify(execFile)('mkfifo', [path]);
    await expect(transport.send(sms, signal)).rejects.toMatchObject({ code: 'ENXIO' });
    expect(() => createTransport(`file:${path}`, { stdout })).toThrow(TransportTargetError);
    // With a reader it can be opened, and is refused all the same: a full pipe would make us wait.
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    try {
      await expect(transport.send(sms, signal)).rejects.toThrow(TransportTargetError);
      expect(() => createTransport(`file:${path}`, { stdout })).toThrow(/not a regular file/);
    } finally {
      closeSync(reader);
    }
  });

  it('refuses at once a folder, a device, and a place where no folder can be made', () => {
    for (const path of [folder, '/dev/null', '/proc/nowhere/mail.jsonl']) {
      expect(() => createTransport(`file:${path}`, { stdout }), path).toThrow(TransportTargetError);
    }
  });

  it('refuses to be made without a path', () => {
    expect(() => createTransport('file:', { stdout })).toThrow(/path/);
  });
});
