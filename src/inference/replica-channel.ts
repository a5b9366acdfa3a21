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

export class ReplicaChannel {
  readonly #where: NetConnectOpts;
  readonly #headers: Readonly<Record<string, string>>;
  readonly #underWay = new Map<number, Done>();
  #socket: WebSocket | null = null;
  #isOpen = false;
  #isClosed = false;
  #againAt = 0;
  #lastId = 0;
  #cause: Error | null = null;

  constructor(where: NetConnectOpts, headers: Readonly<Record<string, string>>) {
    this.#where = where;
    this.#headers = headers;
  }

  /** Whether a request can go this way now; where not, it begins to open. */
  isOpen(): boolean {
    if (this.#socket === null && !this.#isClosed && performance.now() >= this.#againAt) this.#open();
    return this.#isOpen;
  }

  /** Only while it is open. `done` hears of an answer of any status, or that the channel broke. */
  infer(headerLength: number, body: Buffer, done: Done): Exchange {
    const id = (this.#lastId = (this.#lastId + 1) >>> 0);
    this.#underWay.set(id, done);
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
      createConnection: () => connect({ keepAlive: true, noDelay: true, ...this.#where }).unref(),
      headers: this.#headers,
      handshakeTimeout: OPEN_TIMEOUT_MS,
      perMessageDeflate: false,
      // An answer is as long as the model makes it.
      maxPayload: 0,
      // Masks protect proxies from what browsers are made to send. Here is neither, and one of zeros costs nothing.
      generateMask: () => undefined,
    });
    this.#socket = socket;
    this.#cause = null;
    socket.on('open', () => (this.#isOpen = true));
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
    done?.(null, frame.answer);
  }

  #abort(id: number): void {
    const done = this.#underWay.get(id);
    if (done === undefined) return;
    this.#underWay.delete(id);
    if (this.#isOpen) this.#socket?.send(cancelFrame(id));
    queueMicrotask(() => done(abandoned(), null));
  }

  #lost(): void {
    this.#socket = null;
    this.#isOpen = false;
    this.#againAt = performance.now() + AGAIN_MS;
    const cause = this.#cause ?? Object.assign(new Error('other side closed'), { code: 'ECONNRESET' });
    const lost = [...this.#underWay.values()];
    this.#underWay.clear();
    for (const done of lost) done(cause, null);
  }
}
