/** The tasks of the peers suite, as better-auth has them over HTTP. */
import { Agent, request } from 'node:http';
import type { ScenarioCall } from '../support/load.js';
import { PASSWORD } from '../support/people.js';
import { codesIn } from './message-file.js';
import { type PeerData, type PeerTask, phoneNumber } from './peer-tasks.js';

const CONNECTIONS = 64;

interface Answer {
  readonly status: number;
  readonly cookies: string;
}

interface Person {
  readonly email: string;
  readonly cookies: string;
}

/** Signed up before the first run, through the peer's own door. */
const PEOPLE = 200;

export async function open({ address, task, messageFile }: PeerData): Promise<ScenarioCall> {
  const agent = new Agent({ keepAlive: true, maxSockets: CONNECTIONS });
  const codes = codesIn(messageFile);
  const batch = process.pid;
  const send = (
    method: 'GET' | 'POST',
    path: string,
    body?: object,
    cookies = '',
  ): Promise<Answer> => answerOf(agent, address, method, path, body, cookies);
  const signUp = async (name: string): Promise<Person> => {
    const email = `${name}@example.com`;
    const { status, cookies } = await send('POST', '/sign-up/email', {
      email,
      password: PASSWORD,
      name,
    });
    if (status !== 200) throw new Error(`better-auth answered a sign-up with ${status}`);
    return { email, cookies };
  };
  const people: Person[] = [];
  while (task !== 'new-person' && people.length < PEOPLE)
    people.push(await signUp(`${batch}-${people.length}`));
  const one = (nth: number): Person => people[nth % people.length] ?? { email: '', cookies: '' };

  const tasks: Readonly<Record<PeerTask, (nth: number) => Promise<Answer>>> = {
    'sign-in': (nth) =>
      send('POST', '/sign-in/email', { email: one(nth).email, password: PASSWORD }),
    'send-code': (nth) =>
      send('POST', '/phone-number/send-otp', { phoneNumber: phoneNumber(nth) }, one(nth).cookies),
    'session-check': (nth) => send('GET', '/get-session', undefined, one(nth).cookies),
    'new-person': async (nth) => {
      const { cookies } = await signUp(`${batch}-new-${nth}`);
      const to = phoneNumber(nth);
      const code = codes.next(to);
      await send('POST', '/phone-number/send-otp', { phoneNumber: to }, cookies);
      const proof = { phoneNumber: to, code: await code, updatePhoneNumber: true };
      return send('POST', '/phone-number/verify', proof, cookies);
    },
  };
  return async (_slot, nth) => {
    const { status } = await tasks[task](nth);
    return status === 200 ? 'ok' : `status ${status}`;
  };
}

function answerOf(
  agent: Agent,
  address: string,
  method: 'GET' | 'POST',
  path: string,
  body: object | undefined,
  cookies: string,
): Promise<Answer> {
  return new Promise((resolve, reject) => {
    const text = body === undefined ? '' : JSON.stringify(body);
    const headers = {
      origin: 'http://127.0.0.1',
      ...(body === undefined
        ? {}
        : { 'content-type': 'application/json', 'content-length': Buffer.byteLength(text) }),
      ...(cookies === '' ? {} : { cookie: cookies }),
    };
    const asked = request(
      `http://${address}/api/auth${path}`,
      { agent, method, headers },
      (answer) => {
        const set = answer.headers['set-cookie'] ?? [];
        answer.resume();
        answer.once('end', () =>
          resolve({
            status: answer.statusCode ?? 0,
            cookies: set.map((cookie) => cookie.split(';', 1)[0]).join('; '),
          }),
        );
      },
    );
    asked.once('error', reject);
    asked.end(text);
  });
}
