/** HTTP to one replica: how it is reached, and what its refusals mean. */
import { Pool, type Dispatcher } from 'undici';
import { Exchange, type Answer, type Done } from './exchange.ts';
import type { Encoded } from './protocol.ts';
import { ReplicaFailed, ReplicaRejected, ReplicaUnreachable, type ReplicaError } from './replica-errors.ts';

export interface ReplicaAddress {
  /** `unix:/path` or `http://host:port`; of somebody else's server the URL of the model there. */
  readonly endpoint: string;
  readonly modelName: string;
  readonly versionNumber: number;
  /** Whether it takes binary tensors; otherwise they go as JSON. */
  readonly binary?: boolean;
  /** Sent with every request; replicas on TCP ask for it. */
  readonly token?: string | null;
}

const CONNECT_TIMEOUT_MS = 5000;
/** Longest-lived idle connection; less than the replica's own limit, so that none is closed under a request. */
const KEEP_ALIVE_MS = 5 * 60_000;

export class ReplicaConnection {
  readonly #pool: Pool;
  readonly #inferPath: string;
  readonly #authorization: readonly string[];

  constructor(address: ReplicaAddress, connections: number) {
    const { endpoint, modelName, versionNumber, token } = address;
    const socketPath = endpoint.startsWith('unix:') ? endpoint.slice('unix:'.length) : null;
    const url = socketPath === null ? new URL(endpoint) : null;
    this.#pool = new Pool(url?.origin ?? 'http://replica', {
      connections,
      // Deadlines are the calls' own.
      headersTimeout: 0,
      bodyTimeout: 0,
      keepAliveTimeout: KEEP_ALIVE_MS,
      connect: { timeout: CONNECT_TIMEOUT_MS, ...(socketPath === null ? {} : { socketPath }) },
    });
    const own = `/v2/models/${encodeURIComponent(modelName)}/versions/${versionNumber}/infer`;
    this.#inferPath = url === null || url.pathname === '/' ? own : `${url.pathname}/infer`;
    this.#authorization = token === undefined || token === null ? [] : ['authorization', `Bearer ${token}`];
  }

  infer({ body, headerLength, tail }: Encoded, done: Done): Exchange {
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
    const exchange = new Exchange(done);
    // undici writes any iterable piece by piece; its types know of fewer.
    const options = { path, method: 'POST', headers, body, blocking: false };
    this.#pool.dispatch(options as Dispatcher.DispatchOptions, exchange);
    return exchange;
  }

  /** Resolves when what is under way is over. */
  close(): Promise<void> {
    return this.#pool.close();
  }
}

/** The error of an exchange without an answer. */
export function unreachableBy(cause: Error, isSent: boolean): ReplicaUnreachable {
  const code = (cause as NodeJS.ErrnoException).code ?? cause.name;
  return new ReplicaUnreachable(`The replica cannot be reached: ${cause.message} (${code}).`, isSent, {
    cause,
  });
}

/** The error of an answer other than 200. */
export function errorOf({ status, body }: Answer): ReplicaError {
  let message = body.toString();
  try {
    const { error } = JSON.parse(message) as { readonly error?: unknown };
    if (typeof error === 'string') message = error;
  } catch {
    // Not one of ours; its text says more than nothing.
  }
  if (status === 503) return new ReplicaUnreachable(message, false);
  return status < 500 ? new ReplicaRejected(status, message) : new ReplicaFailed(status, message);
}
