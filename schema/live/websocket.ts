/**
 * GraphQL over WebSocket (protocol graphql-transport-ws) beside an HTTP server. graphql-ws speaks the protocol;
 * here are access, limits, liveness and what it does with errors.
 */
import type { IncomingMessage, Server } from 'node:http';
import type { Duplex } from 'node:stream';
import { handleProtocols } from 'graphql-ws';
import { WebSocketServer, type WebSocket } from 'ws';
import type { Logger } from '#src/platform/logger.ts';
import { protocolServer, type ProtocolOptions } from './protocol.ts';
import { Session, type SessionOptions } from './session.ts';
import { SocketWire } from './socket-wire.ts';
import { isSameOrigin, pathOf, refuse } from './upgrade.ts';

export interface WebSocketLimits {
  readonly messageBytes: number;
  readonly operationsPerSocket: number;
  readonly connectionInitMs: number;
}

export interface WebSocketTimes {
  /** A client that does not answer a ping until the next is cut off. */
  readonly pingMs: number;
  /** How often a viewer's access is looked at again. */
  readonly recheckMs: number;
  /** A client that takes nothing for this long of what waits for it is told to go; looked at with every ping. */
  readonly stallMs: number;
}

const defaultLimits: WebSocketLimits = {
  messageBytes: 256 * 1024,
  operationsPerSocket: 100,
  connectionInitMs: 5_000,
};
const defaultTimes: WebSocketTimes = { pingMs: 12_000, recheckMs: 30_000, stallMs: 60_000 };

export interface WebSocketOptions<Viewer> extends SessionOptions<Viewer>, ProtocolOptions<Viewer> {
  readonly server: Server;
  readonly path: string;
  readonly logger: Logger;
  /** Whether a request may become a WebSocket. Default: pages of the same origin, and whatever is no page. */
  readonly allows?: (request: IncomingMessage) => boolean;
  readonly limits?: Partial<WebSocketLimits>;
  readonly times?: Partial<WebSocketTimes>;
}

export interface WebSocketDoor {
  /** Looks at everybody's access now, such as after a token was revoked. */
  recheck(): Promise<void>;
  /** Number of open sockets. */
  readonly sockets: number;
  /** Tells every client to come back later (1001), and resolves when all sockets are closed. */
  close(): Promise<void>;
}

const INTERNAL_ERROR = 4500;
const GOING_AWAY = 1001;

export function attachWebSocket<Viewer>(options: WebSocketOptions<Viewer>): WebSocketDoor {
  return new Door(options);
}

class Door<Viewer> implements WebSocketDoor {
  readonly #options: WebSocketOptions<Viewer>;
  readonly #times: WebSocketTimes;
  readonly #sessions = new Set<Session<Viewer>>();
  readonly #sockets: WebSocketServer;
  readonly #protocol: ReturnType<typeof protocolServer<Viewer>>;
  readonly #upgrade = (request: IncomingMessage, stream: Duplex, head: Buffer): void =>
    this.#admit(request, stream, head);
  #closing = false;

  constructor(options: WebSocketOptions<Viewer>) {
    this.#options = options;
    const limits = { ...defaultLimits, ...options.limits };
    this.#times = { ...defaultTimes, ...options.times };
    this.#protocol = protocolServer(options, limits);
    this.#sockets = new WebSocketServer({
      noServer: true,
      maxPayload: limits.messageBytes,
      handleProtocols,
      clientTracking: false,
      // Frames are written past ws.
      perMessageDeflate: false,
    });
    options.server.on('upgrade', this.#upgrade);
  }

  get sockets(): number {
    return this.#sessions.size;
  }

  async recheck(): Promise<void> {
    await Promise.all([...this.#sessions].map((session) => session.recheck()));
  }

  async close(): Promise<void> {
    this.#closing = true;
    const sessions = [...this.#sessions];
    for (const { wire } of sessions) wire.close(GOING_AWAY, 'Going away');
    await Promise.all(sessions.map((session) => session.closed));
    this.#options.server.off('upgrade', this.#upgrade);
    this.#sockets.close();
  }

  #admit(request: IncomingMessage, stream: Duplex, head: Buffer): void {
    stream.on('error', () => stream.destroy());
    const { path, allows = isSameOrigin } = this.#options;
    if (this.#closing) return refuse(stream, 503);
    if (pathOf(request) !== path) return refuse(stream, 404);
    if (!allows(request)) return refuse(stream, 403);
    this.#sockets.handleUpgrade(request, stream, head, (socket) => this.#open(socket, request, stream));
  }

  #open(socket: WebSocket, request: IncomingMessage, stream: Duplex): void {
    const { logger } = this.#options;
    const wire = new SocketWire(socket, stream, this.#times.stallMs);
    const session = new Session(this.#options, wire, request);
    this.#sessions.add(session);
    const onClosed = this.#protocol.opened(
      {
        protocol: socket.protocol,
        send: (data) => wire.writeThrough(data),
        close: (code = GOING_AWAY, reason = '') => wire.close(code, reason),
        onMessage: (handle) =>
          socket.on('message', (data) => {
            // Never anything else: `binaryType` is left as it is.
            if (Buffer.isBuffer(data)) void this.#message(session, handle, data.toString());
          }),
      },
      session,
    );
    const ping = setInterval(() => wire.checkAlive(), this.#times.pingMs).unref();
    const recheck = setInterval(() => void session.recheck(), this.#times.recheckMs).unref();
    socket.on('error', (error) => logger.debug({ err: error }, 'websocket'));
    socket.once('close', (code, reason) => {
      clearInterval(ping);
      clearInterval(recheck);
      onClosed(code, String(reason))
        .catch((error: unknown) => logger.error({ err: error }, 'websocket: closing'))
        .finally(() => {
          this.#sessions.delete(session);
          session.ended();
        });
    });
  }

  async #message(
    session: Session<Viewer>,
    handle: (data: string) => Promise<void>,
    data: string,
  ): Promise<void> {
    // A client that was told to go does not get anything done any more.
    if (!session.wire.open) return;
    try {
      await handle(data);
    } catch (error) {
      this.#options.logger.error({ err: error }, 'websocket: a message failed');
      session.wire.close(INTERNAL_ERROR, 'Internal server error');
    }
  }
}
