/** A WebSocket as the door uses it: writing, farewells and the check that somebody is still there. */
import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import type { Wire } from './seat.ts';

/** How long a client has to answer a farewell, in milliseconds. */
const FAREWELL_MS = 1_000;

export class SocketWire implements Wire {
  readonly #socket: WebSocket;
  readonly #stream: Duplex;
  #alive = true;
  #farewell: NodeJS.Timeout | undefined;

  /** @param stream the connection under the WebSocket, as the upgrade handed it over. */
  constructor(socket: WebSocket, stream: Duplex) {
    this.#socket = socket;
    this.#stream = stream;
    socket.on('pong', () => (this.#alive = true));
    socket.once('close', () => clearTimeout(this.#farewell));
  }

  get open(): boolean {
    return this.#socket.readyState === WebSocket.OPEN;
  }

  get bufferedBytes(): number {
    return this.#socket.bufferedAmount;
  }

  write(message: string): void {
    if (this.open) this.#socket.send(message);
  }

  /** One system call instead of one a message. */
  writeAll(messages: readonly string[]): void {
    this.#stream.cork();
    for (const message of messages) this.write(message);
    this.#stream.uncork();
  }

  /** Resolves when the message has left this process, or never will. */
  writeThrough(message: string): Promise<void> {
    return new Promise((resolve) => {
      // A failed write also closes the socket, and that is handled there.
      if (this.open) this.#socket.send(message, () => resolve());
      else resolve();
    });
  }

  close(code: number, reason: string): void {
    if (!this.open) return;
    this.#socket.close(code, reason);
    this.#farewell = setTimeout(() => this.#socket.terminate(), FAREWELL_MS).unref();
  }

  /** Pings; cuts off a client that has not answered the ping before. */
  checkAlive(): void {
    if (!this.open) return;
    if (!this.#alive) return this.#socket.terminate();
    this.#alive = false;
    this.#socket.ping();
  }
}
