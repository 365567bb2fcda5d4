import {
  Client,
  credentials,
  InterceptingCall,
  type Interceptor,
  ListenerBuilder,
} from '@grpc/grpc-js';
import * as authService from '../../generated/countersign/v1/auth_service.js';
import { type AuthClient, CountersignError } from '../../src/client/index.js';
import { createPromiseClient } from '../../src/client/promise-client.js';
import { codeIn, type FiledMessages, filedMessages } from '../support/filed-messages.js';
import { PASSWORD, unique } from '../support/people.js';

/** What became of the calls of a load. */
export interface Tally {
  calls: number;
  /** Calls of each method. */
  readonly methods: Record<string, number>;
  readonly failures: string[];
  /** Said to be refused. The wire must show that they never were on it. */
  neverSent: number;
}

export function newTally(): Tally {
  return { calls: 0, methods: {}, failures: [], neverSent: 0 };
}

export function count(tally: Tally, method: string, failure?: string): void {
  tally.calls += 1;
  tally.methods[method] = (tally.methods[method] ?? 0) + 1;
  // Node's client says so of a server's refusal, and of a call that it had not yet written when it read
  // a GOAWAY. Which it was, the wire shows.
  if (failure?.includes('Stream refused by server')) tally.neverSent += 1;
  else if (failure !== undefined) tally.failures.push(`${method}: ${failure}`);
}

export interface Load {
  readonly addresses: readonly string[];
  /** How many calls each server has answered, by its address. */
  readonly answered: ReadonlyMap<string, number>;
  /** Begins no more calls, and waits for those under way. */
  stop(): Promise<void>;
}

/** Servers that come and go deliver late. */
const MESSAGE_MS = 30_000;

interface PeopleOptions {
  readonly people: number;
  readonly messageFile: string;
  readonly tally: Tally;
}

/**
 * People who sign up, prove their phone, sign in, refresh and are introspected, one thing after the
 * other, over one channel that takes the servers in turn and is allowed no retry.
 */
export function startPeople(addresses: readonly string[], options: PeopleOptions): Load {
  const answered = new Map<string, number>();
  const channel = new Client(`ipv4:${addresses.join(',')}`, credentials.createInsecure(), {
    'grpc.enable_retries': 0,
    'grpc.service_config': JSON.stringify({ loadBalancingConfig: [{ round_robin: {} }] }),
    'grpc.service_config_disable_resolution': 1,
    // A server is back within a second or two.
    'grpc.initial_reconnect_backoff_ms': 100,
    'grpc.max_reconnect_backoff_ms': 200,
    interceptors: [countingAnswers(answered)],
  });
  const auth = createPromiseClient(channel, authService.AuthServiceService, authService, {
    callerKey: undefined,
    deadlineMs: 30_000,
  });
  const mailbox = filedMessages(options.messageFile, MESSAGE_MS);
  let stopped = false;
  const keepComing = async (): Promise<void> => {
    while (!stopped) await visit(auth, mailbox, options.tally);
  };
  const all = Promise.all(Array.from({ length: options.people }, keepComing));
  return {
    addresses,
    answered,
    async stop() {
      stopped = true;
      await all;
      channel.close();
    },
  };
}

function countingAnswers(answered: Map<string, number>): Interceptor {
  return (options, nextCall) => {
    const call = nextCall(options);
    const listener = new ListenerBuilder()
      .withOnReceiveStatus((told, pass) => {
        const peer = call.getPeer();
        answered.set(peer, (answered.get(peer) ?? 0) + 1);
        pass(told);
      })
      .build();
    return new InterceptingCall(call, {
      start: (metadata, _, next) => next(metadata, listener),
    });
  };
}

/** Ends early when a call fails, which is counted. */
async function visit(auth: AuthClient, mailbox: FiledMessages, tally: Tally): Promise<void> {
  const told = async <T>(method: keyof AuthClient, call: Promise<T>): Promise<T> => {
    try {
      const answer = await call;
      count(tally, method);
      return answer;
    } catch (error) {
      count(tally, method, describe(error));
      throw error;
    }
  };
  const [username, phoneNumber] = [unique.username(), unique.phone()];
  try {
    const { challenges } = await told(
      'signUp',
      auth.signUp({ username, phoneNumber, password: PASSWORD }),
    );
    const code = codeIn(await mailbox.nth(phoneNumber));
    const challengeId = challenges[0]?.challengeId ?? '';
    await told('confirmPhoneNumber', auth.confirmPhoneNumber({ challengeId, code }));
    let { tokens } = await told(
      'signIn',
      auth.signIn({ identifier: username, password: PASSWORD }),
    );
    for (let turn = 0; turn < 4; turn += 1) {
      const refreshToken = tokens?.refreshToken ?? '';
      ({ tokens } = await told('refreshSession', auth.refreshSession({ refreshToken })));
      const accessToken = tokens?.accessToken ?? '';
      await told('introspectToken', auth.introspectToken({ accessToken }));
    }
  } catch (error) {
    if (!(error instanceof CountersignError)) throw error;
  }
}

function describe(error: unknown): string {
  if (!(error instanceof CountersignError)) return String(error);
  return `${error.codeName} ${error.message}`;
}
