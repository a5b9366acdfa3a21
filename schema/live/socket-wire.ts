/** A WebSocket as the door uses it: writing, farewells and the check that somebody is still there. */
import type { Duplex } from 'node:stream';
import { WebSocket } from 'ws';
import type { Wire } from './seat.ts';

/** How long a client has to answer a farewell, in milliseconds. */
const FAREWELL_MS = 1_000;
export const SLOW_READER = 4429;

export class SocketWire implements Wire {
  readonly #socket: WebSocket;
  readonly #stream: Duplex;
  readonly #stallMs: number;
  #alive = true;
  /** What waited when it was last looked at, and when some of it was last taken. */
  #waited = 0;
  #takenAt = 0;
  #room: PromiseWithResolvers<void> | undefined;
  #farewell: NodeJS.Timeout | undefined;

  /**
   * @param stream the connection under the WebSocket, as the upgrade handed it over.
   * @param stallMs how long a client may take nothing of what waits for it.
   */
  constructor(socket: WebSocket, stream: Duplex, stallMs: number) {
    this.#socket = socket;
    this.#stream = stream;
    this.#stallMs = stallMs;
    stream.on('drain', () => this.#taken()).on('close', () => this.#taken());
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

  /** Past the socket's own `send`: that writes whole frames too, and keeps none back where nothing is compressed. */
  writeFrames(frames: Buffer): boolean {
    if (!this.open) return true;
    this.#stream.write(frames);
    // The system has its own copy of what does not wait.
    return this.#stream.writableLength === 0;
  }

  get hasRoom(): boolean {
    return !this.#stream.writableNeedDrain;
  }

  room(): Promise<void> {
    if (this.hasRoom || this.#stream.destroyed) return Promise.resolve();
    this.#room ??= Promise.withResolvers<void>();
    return this.#room.promise;
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

  /**
   * Pings; cuts off a client that has not answered the ping before. Where something waits for the client, a ping would
   * wait behind it: then somebody is there as long as some of it is taken now and then.
   */
  checkAlive(): void {
    if (!this.open) return;
    const waits = this.bufferedBytes;
    if (waits > 0) return this.#checkTaken(waits);
    this.#waited = 0;
    if (!this.#alive) return this.#socket.terminate();
    this.#alive = false;
    this.#socket.ping();
  }

  #checkTaken(waits: number): void {
    if (this.#waited === 0 || waits < this.#waited) this.#takenAt = performance.now();
    else if (performance.now() - this.#takenAt >= this.#stallMs)
      return this.close(SLOW_READER, 'Slow reader');
    this.#waited = waits;
    this.#alive = true;
  }

  /** Nothing waits any more. */
  #taken(): void {
    this.#waited = 0;
    this.#room?.resolve();
    this.#room = undefined;
  }
}
