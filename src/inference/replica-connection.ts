/** The ways to one replica, HTTP and, to our own, a channel beside it; and what its refusals mean. */
import { Pool, type Dispatcher } from 'undici';
import { foreignText } from '../text/foreign.ts';
import { MOST_CHANNEL_BYTES } from './channel-frame.ts';
import type { Answer, Done, Exchange } from './exchange.ts';
import { HttpExchange } from './http-exchange.ts';
import type { Encoded } from './protocol.ts';
import { ReplicaChannel } from './replica-channel.ts';
import { ReplicaFailed, ReplicaRejected, ReplicaUnreachable, type ReplicaError } from './replica-errors.ts';

export interface ReplicaAddress {
  /** `unix:/path` or `http://host:port`; of somebody else's server the URL of the model there. */
  readonly endpoint: string;
  readonly modelName: string;
  readonly versionNumber: number;
  /** Whether it takes binary tensors; otherwise they go as JSON. */
  readonly binary?: boolean;
  /** Bytes of the longest answer; without it there is no bound. */
  readonly maxAnswerBytes?: number;
  /** Sent with every request; replicas on TCP ask for it. */
  readonly token?: string | null;
}

const CONNECT_TIMEOUT_MS = 5000;
/** Longest-lived idle connection; less than the replica's own limit, so that none is closed under a request. */
const KEEP_ALIVE_MS = 5 * 60_000;
/** The same towards a server of somebody else's, whose own limit nobody knows: 5 s with many. */
const FOREIGN_KEEP_ALIVE_MS = 4_000;
/** Characters of what a server says of an error. */
const MOST_TOLD = 2_000;

export class ReplicaConnection {
  readonly #pool: Pool;
  /** null towards a server of somebody else's. */
  readonly #channel: ReplicaChannel | null;
  readonly #inferPath: string;
  readonly #maxAnswerBytes: number | null;
  readonly #authorization: readonly string[];

  constructor(address: ReplicaAddress, connections: number) {
    const { endpoint, modelName, versionNumber, token } = address;
    const socketPath = endpoint.startsWith('unix:') ? endpoint.slice('unix:'.length) : null;
    const url = socketPath === null ? new URL(endpoint) : null;
    const isOurs = url === null || url.pathname === '/';
    this.#maxAnswerBytes = address.maxAnswerBytes ?? null;
    this.#pool = new Pool(url?.origin ?? 'http://replica', {
      connections,
      // Deadlines are the calls' own.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: isOurs ? KEEP_ALIVE_MS : FOREIGN_KEEP_ALIVE_MS,
      maxResponseSize: this.#maxAnswerBytes ?? -1,
      connect: { timeout: CONNECT_TIMEOUT_MS, ...(socketPath === null ? {} : { socketPath }) },
    });
    const own = `/v2/models/${encodeURIComponent(modelName)}/versions/${versionNumber}/infer`;
    this.#inferPath = url === null || isOurs ? own : `${url.pathname}/infer`;
    this.#authorization = token === undefined || token === null ? [] : ['authorization', `Bearer ${token}`];
    this.#channel = isOurs ? channelTo(socketPath, url, token ?? null) : null;
  }

  infer({ body, headerLength, tail }: Encoded, done: Done): Exchange {
    const isShort = headerLength !== null && tail === undefined && body.length <= MOST_CHANNEL_BYTES;
    if (isShort && this.#channel?.isOpen() === true) return this.#channel.infer(headerLength, body, done);
    const type = headerLength === null ? 'application/json' : 'application/octet-stream';
    const headers = [...this.#authorization, 'content-type', type];
    if (headerLength !== null) headers.push('inference-header-content-length', String(headerLength));
    if (tail === undefined) return this.#post(this.#inferPath, headers, body, done);
    const length = tail.reduce((size, piece) => size + piece.byteLength, body.length);
    headers.push('content-length', String(length));
    return this.#post(this.#inferPath, headers, [body, ...tail], done);
  }

  control(path: '/lease' | '/drain', done: Done): Exchange {
    return this.#post(path, [...this.#authorization], null, done);
  }

  #post(path: string, headers: string[], body: Buffer | readonly Uint8Array[] | null, done: Done): Exchange {
    const exchange = new HttpExchange(done);
    // undici writes any iterable piece by piece; its types know of fewer.
    const options = { path, method: 'POST', headers, body, blocking: false };
    this.#pool.dispatch(options as Dispatcher.DispatchOptions, exchange);
    return exchange;
  }

  /** The error of an exchange without an answer. */
  errorBy(cause: Error, isSent: boolean): ReplicaError {
    const code = (cause as NodeJS.ErrnoException).code ?? cause.name;
    if (code === 'UND_ERR_RES_EXCEEDED_MAX_SIZE') {
      const message = `The answer has more than ${this.#maxAnswerBytes} bytes (MAX_INFER_BYTES).`;
      return new ReplicaFailed(200, message, { cause });
    }
    const message = `The replica cannot be reached: ${cause.message} (${code}).`;
    return new ReplicaUnreachable(message, isSent, { cause });
  }

  /** Resolves when what is under way over HTTP is over. */
  close(): Promise<void> {
    this.#channel?.close();
    return this.#pool.close();
  }
}

function channelTo(socketPath: string | null, url: URL | null, token: string | null): ReplicaChannel {
  const headers: Record<string, string> = token === null ? {} : { authorization: `Bearer ${token}` };
  if (socketPath !== null || url === null) return new ReplicaChannel({ path: socketPath ?? '' }, headers);
  const host = url.hostname.replace(/^\[(.*)\]$/, '$1');
  return new ReplicaChannel({ host, port: Number(url.port) || 80 }, headers);
}

/** The error of an answer other than 200. Of a body that is not the protocol's nothing is told: it is not for callers. */
export function errorOf({ status, body }: Pick<Answer, 'status' | 'body'>): ReplicaError {
  const message = toldBy(body) ?? `It answers ${status}, and does not say why.`;
  if (status === 503) return new ReplicaUnreachable(message, false);
  return status < 500 ? new ReplicaRejected(status, message) : new ReplicaFailed(status, message);
}

function toldBy(body: Buffer): string | undefined {
  try {
    const { error } = JSON.parse(body.toString()) as { readonly error?: unknown };
    return typeof error === 'string' && error !== '' ? foreignText(error, MOST_TOLD) : undefined;
  } catch {
    return undefined;
  }
}
