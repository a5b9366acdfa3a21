/**
 * A channel to one of our replicas: many requests under way on one WebSocket. It is opened when it is first asked for, and
 * again some time after it broke; as long as it is not open, HTTP carries what it would.
 */
import { connect, type NetConnectOpts } from 'node:net';
import { WebSocket } from 'ws';
import { CHANNEL_PATH, cancelFrame, readAnswerFrame, requestFrame } from './channel-frame.ts';
import { abandoned, type Done, type Exchange } from './exchange.ts';

/** How long one that could not be opened, or broke, is not tried again. */
const AGAIN_MS = 1_000;
const OPEN_TIMEOUT_MS = 5_000;
/** Silence after which a connection that nobody has closed is not relied on until something comes again. */
const SILENT_MS = 5_000;
/** Bytes that the other side has not taken: behind more of them nothing else is sent. */
const MOST_UNSENT = 8 * 1024 * 1024;
/** Keeps what is between two hosts from forgetting the connection. */
const KEEP_ALIVE_MS = 30_000;

const connectionOptions = {
  keepAlive: true,
  keepAliveInitialDelay: KEEP_ALIVE_MS,
  noDelay: true,
  // Of silence until it is open; ws ends it then.
  timeout: OPEN_TIMEOUT_MS,
};

export class ReplicaChannel {
  readonly #where: NetConnectOpts;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #underWay = new Map<number, Done>();
  #socket: WebSocket | null = null;
  #isClosed = false;
  #againAt = 0;
  /** Since when it has been asked and has said nothing. */
  #silentSince: number | null = null;
  #lastId = 0;
  #cause: Error | null = null;

  constructor(where: NetConnectOpts, headers: Readonly<Record<string, string>>) {
    this.#where = where;
    this.#headers = headers;
  }

  /** Whether a request can go this way now; where not, it begins to open. */
  isOpen(): boolean {
    const socket = this.#socket;
    const now = performance.now();
    if (socket === null) {
      if (!this.#isClosed && now >= this.#againAt) this.#open();
      return false;
    }
    if (this.#silentSince !== null && now - this.#silentSince > SILENT_MS) {
      // Those that gave up will hear nothing: whether it is dead shows when it is opened anew.
      if (this.#underWay.size === 0) socket.terminate();
      return false;
    }
    return socket.readyState === WebSocket.OPEN && socket.bufferedAmount <= MOST_UNSENT;
  }

  /** Only while it is open. `done` hears of an answer of any status, or that the channel broke. */
  infer(headerLength: number, body: Buffer, done: Done): Exchange {
    const id = (this.#lastId = (this.#lastId + 1) >>> 0);
    this.#underWay.set(id, done);
    this.#silentSince ??= performance.now();
    this.#socket?.send(requestFrame(id, headerLength, body));
    return { isSent: true, abort: () => this.#abort(id) };
  }

  /** Whatever is under way fails. */
  close(): void {
    this.#isClosed = true;
    this.#socket?.terminate();
  }

  #open(): void {
    const socket = new WebSocket(`ws://replica${CHANNEL_PATH}`, {
      createConnection: () => connect({ ...connectionOptions, ...this.#where }).unref(),
      headers: this.#headers,
      handshakeTimeout: OPEN_TIMEOUT_MS,
      perMessageDeflate: false,
      // An answer is as long as the model makes it.
      maxPayload: 0,
      maxBufferedChunks: 0,
      // Masks protect proxies from what browsers are made to send. Here is neither, and one of zeros costs nothing.
      generateMask: () => undefined,
    });
    this.#socket = socket;
    this.#cause = null;
    this.#silentSince = null;
    socket.on('message', (message) => this.#take(socket, message as Buffer));
    socket.on('error', (error) => (this.#cause = error));
    socket.on('close', () => this.#lost());
  }

  #take(socket: WebSocket, message: Buffer): void {
    const frame = readAnswerFrame(message);
    if (frame === undefined) {
      this.#cause = new Error('It does not speak as a replica does.');
      socket.terminate();
      return;
    }
    // Without one, nobody waits any more.
    const done = this.#underWay.get(frame.id);
    this.#underWay.delete(frame.id);
    this.#silentSince = this.#underWay.size === 0 ? null : performance.now();
    done?.(null, frame.answer);
  }

  #abort(id: number): void {
    const done = this.#underWay.get(id);
    if (done === undefined) return;
    this.#underWay.delete(id);
    this.#socket?.send(cancelFrame(id));
    queueMicrotask(() => done(abandoned(), null));
  }

  #lost(): void {
    this.#socket = null;
    this.#againAt = performance.now() + AGAIN_MS;
    const cause = this.#cause ?? Object.assign(new Error('other side closed'), { code: 'ECONNRESET' });
    const lost = [...this.#underWay.values()];
    this.#underWay.clear();
    for (const done of lost) done(cause, null);
  }
}
