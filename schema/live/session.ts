/** Who sits at the other end of a socket, and whether they still may. */
import type { IncomingHttpHeaders, IncomingMessage } from 'node:http';
import type { Logger } from '#src/platform/logger.ts';
import type { SocketWire } from './socket-wire.ts';

/** Who connects, as far as the connection tells. */
export interface Connection {
  readonly headers: IncomingHttpHeaders;
  /** What the client sent with `connection_init`. */
  readonly connectionParams: Readonly<Record<string, unknown>> | undefined;
  readonly remoteAddress: string | undefined;
}

export interface SessionOptions<Viewer> {
  /** Undefined when the credentials are not good (any more). A throw means that nobody knows right now. */
  readonly authenticate: (connection: Connection) => Promise<Viewer | undefined>;
  /** Equal for viewers who see the same. */
  readonly scopeOf: (viewer: Viewer) => string;
  readonly logger: Logger;
}

const FORBIDDEN = 4403;
/** graphql-ws clients come back after these two. */
const SERVICE_RESTART = 1012;
const TRY_AGAIN_LATER = 1013;

export class Session<Viewer> {
  readonly wire: SocketWire;
  readonly closed: Promise<void>;
  readonly #options: SessionOptions<Viewer>;
  readonly #request: IncomingMessage;
  readonly #closed = Promise.withResolvers<void>();
  #connection: Connection | undefined;
  #viewer: Viewer | undefined;

  constructor(options: SessionOptions<Viewer>, wire: SocketWire, request: IncomingMessage) {
    this.#options = options;
    this.wire = wire;
    this.#request = request;
    this.closed = this.#closed.promise;
  }

  /** @throws Error before `enter` has let somebody in. */
  get viewer(): Viewer {
    if (this.#viewer === undefined) throw new Error('Nobody has been let in yet.');
    return this.#viewer;
  }

  /** Lets in who has good credentials. */
  async enter(connectionParams: Readonly<Record<string, unknown>> | undefined): Promise<boolean> {
    const { headers, socket } = this.#request;
    this.#connection = { headers, connectionParams, remoteAddress: socket.remoteAddress };
    try {
      this.#viewer = await this.#options.authenticate(this.#connection);
    } catch (error) {
      this.#options.logger.error({ err: error }, 'websocket: access could not be checked');
      this.wire.close(TRY_AGAIN_LATER, 'Try again later');
    }
    return this.#viewer !== undefined;
  }

  /** Closes the socket of who has lost their access; whoever has another access now must come in anew. */
  async recheck(): Promise<void> {
    if (this.#viewer === undefined || !this.#connection || !this.wire.open) return;
    const { authenticate, scopeOf, logger } = this.#options;
    try {
      const viewer = await authenticate(this.#connection);
      if (viewer === undefined) this.wire.close(FORBIDDEN, 'Forbidden');
      else if (scopeOf(viewer) !== scopeOf(this.#viewer)) this.wire.close(SERVICE_RESTART, 'Access changed');
      else this.#viewer = viewer;
    } catch (error) {
      // Not being able to look is no reason to throw everybody out.
      logger.warn({ err: error }, 'websocket: access could not be checked again');
    }
  }

  ended(): void {
    this.#closed.resolve();
  }
}
