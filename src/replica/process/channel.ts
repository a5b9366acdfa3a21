/** Channels: WebSockets on which an api has many requests under way at a time. */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import {
  answerHead,
  MOST_CHANNEL_BYTES,
  readRequestFrame,
  type RequestFrame,
} from '../../inference/channel-frame.ts';
import { checkAnswers, inferBody, statusOf, type Served } from './infer.ts';

/** What is longer is no request of an api's. */
const MOST_MESSAGE = 2 * MOST_CHANNEL_BYTES;
/** Bytes up to which an answer is copied to go out in one piece with its head. */
const SMALL = 4096;
const PROTOCOL_ERROR = 1002;
/**
 * Requests that are not answered, and bytes of answers that the other side has not taken. Behind more of either nothing else
 * is read from it: an api has fewer.
 */
const MOST_UNDER_WAY = 64;
const MOST_UNSENT = 8 * 1024 * 1024;

/** @param mayHave whether a request is for a channel, and its sender may have one. */
export function takeChannels(
  server: Server,
  served: Served,
  mayHave: (request: IncomingMessage) => boolean,
): void {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MOST_MESSAGE,
  });
  server.on('upgrade', (request, stream, head) => {
    stream.on('error', () => stream.destroy());
    // The server has asked already; one of an older Node has not.
    if (!mayHave(request)) stream.destroy();
    else sockets.handleUpgrade(request, stream, head, (socket) => void new Channel(served, socket, stream));
  });
}

class Channel {
  readonly #served: Served;
  readonly #socket: WebSocket;
  readonly #stream: Duplex;
  /** Numbers of the requests that somebody waits for. */
  readonly #awaited = new Set<number>();
  #underWay = 0;
  #isCorked = false;

  constructor(served: Served, socket: WebSocket, stream: Duplex) {
    this.#served = served;
    this.#socket = socket;
    this.#stream = stream;
    socket.on('message', (message) => this.#take(readRequestFrame(message as Buffer)));
    socket.on('close', () => this.#awaited.clear());
    // It closes, and whoever asked learns of it.
    socket.on('error', () => undefined);
  }

  #take(frame: RequestFrame | undefined): void {
    if (frame === undefined) this.#socket.close(PROTOCOL_ERROR, 'Not a request.');
    else if (frame.asked === null) this.#awaited.delete(frame.id);
    else void this.#answer(frame.id, frame.asked);
  }

  async #answer(id: number, { body, headerLength }: NonNullable<RequestFrame['asked']>): Promise<void> {
    const served = this.#served;
    served.begin();
    this.#underWay++;
    this.#awaited.add(id);
    this.#regulate();
    try {
      checkAnswers(served);
      const { encoded, timing } = await inferBody(served, body, headerLength, () => !this.#awaited.has(id));
      const head = answerHead(id, { status: 200, headerLength: encoded.headerLength, timing });
      this.#send(head, encoded.body);
    } catch (error) {
      // Also to one that nobody waits for any more: who asked hears that it is still there.
      this.#fail(id, error);
    } finally {
      this.#underWay--;
      this.#awaited.delete(id);
      this.#regulate();
    }
  }

  #regulate(): void {
    const socket = this.#socket;
    const isFull = this.#underWay > MOST_UNDER_WAY || socket.bufferedAmount > MOST_UNSENT;
    if (isFull && !socket.isPaused) socket.pause();
    else if (!isFull && socket.isPaused) socket.resume();
  }

  #fail(id: number, error: unknown): void {
    const text = JSON.stringify({ error: error instanceof Error ? error.message : String(error) });
    const timing = { queueMs: 0, computeMs: 0, batchSize: 0, sharedRows: this.#served.sharedRows };
    const head = answerHead(id, { status: statusOf(error), headerLength: null, timing });
    this.#send(head, Buffer.from(text));
  }

  /** The request is over once its answer is on its way, or cannot be. */
  #send(head: Buffer, body: Buffer): void {
    this.#cork();
    const socket = this.#socket;
    const sent = (): void => {
      this.#served.end();
      this.#regulate();
    };
    if (body.length <= SMALL) {
      socket.send(Buffer.concat([head, body]), sent);
    } else {
      socket.send(head, { fin: false });
      socket.send(body, { fin: true }, sent);
    }
  }

  /** What one run answers goes out in one write. */
  #cork(): void {
    if (this.#isCorked) return;
    this.#isCorked = true;
    this.#stream.cork();
    process.nextTick(() => {
      this.#isCorked = false;
      this.#stream.uncork();
    });
  }
}
