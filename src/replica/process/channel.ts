/** Channels: WebSockets on which an api has many requests under way at a time. */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { WebSocketServer, type WebSocket } from 'ws';
import {
  answerHead,
  CHANNEL_PATH,
  MOST_CHANNEL_BYTES,
  readRequestFrame,
  type RequestFrame,
} from '../../inference/channel-frame.ts';
import { Abandoned } from './batcher.ts';
import { checkAnswers, inferBody, statusOf, type Served } from './infer.ts';

/** What is longer is no request of an api's. */
const MOST_MESSAGE = 2 * MOST_CHANNEL_BYTES;
/** Bytes up to which an answer is copied to go out in one piece with its head. */
const SMALL = 4096;
const PROTOCOL_ERROR = 1002;

/** @param isAllowed whether who asks for a channel may have one. */
export function takeChannels(
  server: Server,
  served: Served,
  isAllowed: (request: IncomingMessage) => boolean,
): void {
  const sockets = new WebSocketServer({
    noServer: true,
    clientTracking: false,
    perMessageDeflate: false,
    maxPayload: MOST_MESSAGE,
  });
  server.on('upgrade', (request, stream, head) => {
    stream.on('error', () => stream.destroy());
    if (!isAllowed(request)) refuse(stream, '401 Unauthorized');
    else if (request.url !== CHANNEL_PATH) refuse(stream, '404 Not Found');
    else sockets.handleUpgrade(request, stream, head, (socket) => void new Channel(served, socket, stream));
  });
}

const refuse = (stream: Duplex, status: string): unknown =>
  stream.end(`HTTP/1.1 ${status}\r\nconnection: close\r\ncontent-length: 0\r\n\r\n`);

class Channel {
  readonly #served: Served;
  readonly #socket: WebSocket;
  readonly #stream: Duplex;
  /** Numbers of the requests that somebody waits for. */
  readonly #awaited = new Set<number>();
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
    this.#awaited.add(id);
    try {
      checkAnswers(served);
      const { encoded, timing } = await inferBody(served, body, headerLength, () => !this.#awaited.has(id));
      const head = answerHead(id, { status: 200, headerLength: encoded.headerLength, timing });
      this.#send(head, encoded.body);
    } catch (error) {
      if (error instanceof Abandoned) served.end();
      else this.#fail(id, error);
    } finally {
      this.#awaited.delete(id);
    }
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
    const sent = (): void => this.#served.end();
    if (body.length <= SMALL) {
      this.#socket.send(Buffer.concat([head, body]), sent);
    } else {
      this.#socket.send(head, { fin: false });
      this.#socket.send(body, { fin: true }, sent);
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
