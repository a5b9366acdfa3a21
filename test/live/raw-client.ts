import { WebSocket, type ClientOptions } from 'ws';
import type { Tick } from './tick-feed.ts';

export interface Message {
  readonly type: string;
  readonly id?: string;
  // oxlint-disable-next-line typescript/no-explicit-any -- whatever the test expects, it checks
  readonly payload?: any;
}

/** The tick within a `next` message. */
export function tickOf({ type, payload }: Message): Tick {
  if (type !== 'next' || !payload.data) throw new Error(`Expected a tick, found ${JSON.stringify(payload)}.`);
  return payload.data.ticks ?? payload.data.slowTicks;
}

export interface Closed {
  readonly code: number;
  readonly reason: string;
}

/** A WebSocket that speaks the protocol word by word: what arrives waits in a queue. */
export class RawClient {
  readonly closed: Promise<Closed>;
  readonly #socket: WebSocket;
  readonly #messages: Message[] = [];
  readonly #readers: ((message: Message) => void)[] = [];
  #pings = 0;

  private constructor(socket: WebSocket) {
    this.#socket = socket;
    this.closed = new Promise((resolve) =>
      socket.once('close', (code, reason) => resolve({ code, reason: String(reason) })),
    );
    socket.on('error', () => undefined);
    socket.on('message', (data: Buffer) => {
      const message: Message = JSON.parse(data.toString());
      const reader = this.#readers.shift();
      if (reader) reader(message);
      else this.#messages.push(message);
    });
  }

  /** Opens the socket and says nothing yet. Rejects where the server refuses the upgrade. */
  static async open(url: string, options: ClientOptions = {}): Promise<RawClient> {
    const socket = new WebSocket(url, 'graphql-transport-ws', { perMessageDeflate: false, ...options });
    const client = new RawClient(socket);
    await new Promise<void>((resolve, reject) => {
      socket.once('open', resolve);
      socket.once('error', reject);
    });
    return client;
  }

  /** Opens the socket and waits until it is acknowledged. */
  static async connect(url: string, params: Record<string, unknown> = {}): Promise<RawClient> {
    const client = await RawClient.open(url);
    client.send({ type: 'connection_init', payload: params });
    const { type } = await client.next();
    if (type !== 'connection_ack') throw new Error(`Expected connection_ack, found ${type}.`);
    return client;
  }

  send(message: Message): void {
    this.#socket.send(JSON.stringify(message));
  }

  sendText(text: string): void {
    this.#socket.send(text);
  }

  subscribe(
    id: string,
    query: string,
    variables: Record<string, unknown> = {},
    operationName?: string,
  ): void {
    const payload = { query, variables, ...(operationName === undefined ? {} : { operationName }) };
    this.send({ type: 'subscribe', id, payload });
  }

  next(): Promise<Message> {
    const message = this.#messages.shift();
    if (message) return Promise.resolve(message);
    return new Promise((resolve) => this.#readers.push(resolve));
  }

  async take(count: number): Promise<Message[]> {
    const messages: Message[] = [];
    while (messages.length < count) messages.push(await this.next());
    return messages;
  }

  /** Everything that the server has sent by now: all before its answer to a ping. */
  async drain(): Promise<Message[]> {
    const mark = ++this.#pings;
    this.send({ type: 'ping', payload: { mark } });
    const messages: Message[] = [];
    for (;;) {
      const message = await this.next();
      if (message.type === 'pong') return messages;
      messages.push(message);
    }
  }

  /** Stops reading from the network; what the server sends piles up. */
  pause(): void {
    this.#socket.pause();
  }

  resume(): void {
    this.#socket.resume();
  }

  /** Goes without a word. */
  terminate(): void {
    this.#socket.terminate();
  }

  close(): void {
    this.#socket.close(1000);
  }
}
