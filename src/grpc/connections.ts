import type { ServerHttp2Session } from 'node:http2';
import type { Socket } from 'node:net';
import type { Random } from '../core/ids.js';
import { sourceKey } from '../throttling/index.js';
import { peerAddress } from './call-context.js';
import { sayGoodbye } from './connection-goodbye.js';
import type { ConnectionLimits } from './limits.js';

interface Connection {
  readonly socket: Socket;
  readonly ends: string;
  /** The address or /64 that it counts for. */
  readonly source: string;
  readonly timers: NodeJS.Timeout[];
  session: ServerHttp2Session | undefined;
  /** Its HTTP/2 preface is here. */
  arrived: boolean;
  calls: number;
  hadCalls: boolean;
  idleSinceMs: number;
  retired: boolean;
}

/** What a cut-off at the end of a drain takes to be seen by the calls that it ends. */
const CUT_MS = 250;

/**
 * Every connection from its first packet to its end: how many there may be, how long each may live, and
 * how they end. A connection that has arrived is told goodbye (`sayGoodbye`), whatever the reason, and is
 * then held until its calls are answered.
 *
 * Where there are too many, somebody with the most of them gives one up: the newcomer's own address at
 * its own limit, else the address that has most. It is the one that is of least use: one that has not
 * arrived, then one that never made a call, then the longest idle. Connections with calls under way
 * stay, so no number of new ones disturbs the calls of others; refusing newcomers would let whoever
 * holds idle ones shut everybody out, and ending the oldest would end the very clients that call most.
 */
export class Connections {
  readonly #limits: ConnectionLimits;
  readonly #random: Pick<Random, 'bytes'>;
  readonly #open = new Map<string, Connection>();
  readonly #bySource = new Map<string, Set<Connection>>();
  #draining = false;
  #emptied: (() => void) | undefined;

  constructor(limits: ConnectionLimits, random: Pick<Random, 'bytes'>) {
    this.#limits = limits;
    this.#random = random;
  }

  get count(): number {
    return this.#open.size;
  }

  /** False: it is refused, and closed. */
  admit(socket: Socket): boolean {
    // Whoever reads from it says so where it matters; nobody else needs to know why it broke.
    socket.on('error', () => undefined);
    const ends = endsOf(socket);
    const source = sourceKey(
      peerAddress(`${socket.remoteAddress ?? ''}:${socket.remotePort ?? 0}`),
    );
    if (ends === undefined || !this.#makeRoom(source)) {
      socket.destroy();
      return false;
    }
    const connection: Connection = {
      socket,
      ends,
      source,
      timers: [],
      session: undefined,
      arrived: false,
      calls: 0,
      hadCalls: false,
      idleSinceMs: performance.now(),
      retired: false,
    };
    this.#open.set(ends, connection);
    const own = this.#bySource.get(source) ?? new Set();
    this.#bySource.set(source, own.add(connection));
    socket.once('close', () => this.#forget(connection));
    this.#after(connection, this.#limits.arrivalMs, () => {
      if (!connection.arrived) socket.destroy();
    });
    return true;
  }

  /** Its HTTP/2 session, on the socket itself or on the TLS socket around it. */
  attach(session: ServerHttp2Session): void {
    const connection = this.#open.get(endsOf(session.socket) ?? '');
    if (connection === undefined) {
      session.destroy();
      return;
    }
    connection.session = session;
    session.once('remoteSettings', () => {
      connection.arrived = true;
    });
    session.on('stream', (stream: NodeJS.EventEmitter) => {
      connection.calls += 1;
      connection.hadCalls = true;
      stream.once('close', () => {
        connection.calls -= 1;
        connection.idleSinceMs = performance.now();
        this.#hangUpWhenDone(connection);
      });
    });
    if (this.#draining) void this.#retire(connection);
    else this.#limitLife(connection);
  }

  /** Ends all of them; what has calls under way after `ms` is cut off. The number of calls cut off. */
  async drain(ms: number): Promise<number> {
    this.#draining = true;
    for (const connection of this.#open.values()) {
      const { socket, session } = connection;
      if (session !== undefined) void this.#retire(connection);
      // In the middle of a TLS handshake, or silent: it gets no more time than a goodbye does.
      else
        this.#after(
          connection,
          this.#limits.goodbyeMs,
          () => connection.session ?? socket.destroy(),
        );
    }
    await this.#empty(ms);
    let cut = 0;
    for (const { calls, session, socket } of this.#open.values()) {
      cut += calls;
      session?.destroy();
      setImmediate(() => socket.destroy());
    }
    await this.#empty(CUT_MS);
    return cut;
  }

  #empty(ms: number): Promise<void> {
    return new Promise((resolve) => {
      if (this.#open.size === 0) return resolve();
      const timer = setTimeout(resolve, ms);
      this.#emptied = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  #makeRoom(source: string): boolean {
    const { max, maxPerAddress } = this.#limits;
    const own = this.#bySource.get(source);
    if (own !== undefined && own.size >= maxPerAddress) return this.#giveWay(own);
    if (this.#open.size < max) return true;
    let most = own ?? new Set();
    for (const other of this.#bySource.values()) if (other.size > most.size) most = other;
    return this.#giveWay(most);
  }

  #giveWay(among: ReadonlySet<Connection>): boolean {
    let least: Connection | undefined;
    for (const one of among) {
      if (one.calls === 0 && (least === undefined || isOfLessUse(one, least))) least = one;
    }
    if (least === undefined) return false;
    this.#forget(least);
    if (least.session?.closed === false) least.session.destroy();
    else least.socket.destroy();
    return true;
  }

  #limitLife(connection: Connection): void {
    const { ageMs, ageGraceMs, idleMs } = this.#limits;
    // Those that came together must not all come back together.
    const spread = 0.9 + (this.#random.bytes(1).readUInt8() / 255) * 0.2;
    this.#after(connection, ageMs * spread, () => {
      void this.#retire(connection);
      this.#after(connection, ageGraceMs, () => connection.session?.destroy());
    });
    const untilIdle = (ms: number): void =>
      this.#after(connection, ms, () => {
        const left = connection.idleSinceMs + idleMs - performance.now();
        if (connection.calls > 0) untilIdle(idleMs);
        else if (left > 0) untilIdle(left);
        else void this.#retire(connection);
      });
    untilIdle(idleMs);
  }

  async #retire(connection: Connection): Promise<void> {
    const { session } = connection;
    if (session === undefined || connection.retired) return;
    connection.retired = true;
    const bare = session.encrypted === true ? undefined : connection.socket;
    await sayGoodbye(session, bare, this.#limits.goodbyeMs);
    this.#hangUpWhenDone(connection);
  }

  /** An honest client hangs up by itself. */
  #hangUpWhenDone(connection: Connection): void {
    const { calls, session, socket } = connection;
    if (calls > 0 || session?.closed !== true) return;
    this.#after(connection, this.#limits.lingerMs, () => socket.destroy());
  }

  #after(connection: Connection, ms: number, act: () => void): void {
    connection.timers.push(setTimeout(act, ms).unref());
  }

  #forget(connection: Connection): void {
    for (const timer of connection.timers) clearTimeout(timer);
    if (this.#open.get(connection.ends) !== connection) return;
    this.#open.delete(connection.ends);
    const own = this.#bySource.get(connection.source);
    own?.delete(connection);
    if (own?.size === 0) this.#bySource.delete(connection.source);
    if (this.#open.size === 0) this.#emptied?.();
  }
}

function isOfLessUse(one: Connection, other: Connection): boolean {
  if (one.arrived !== other.arrived) return !one.arrived;
  if (one.hadCalls !== other.hadCalls) return !one.hadCalls;
  return one.idleSinceMs < other.idleSinceMs;
}

/** Both ends, which together are one open connection's alone. None: it has gone already. */
function endsOf({
  remoteAddress,
  remotePort,
  localAddress,
  localPort,
}: Pick<Socket, 'remoteAddress' | 'remotePort' | 'localAddress' | 'localPort'>):
  | string
  | undefined {
  if (remoteAddress === undefined) return undefined;
  return `${remoteAddress} ${remotePort} ${localAddress} ${localPort}`;
}
