import type { IncomingHttpHeaders } from 'node:http';
import type { Dispatcher } from 'undici';

/** A whole HTTP response. */
export interface Answer {
  readonly status: number;
  readonly headers: IncomingHttpHeaders;
  readonly body: Buffer;
}

/** Called once, with exactly one of the two. */
export type Done = (error: Error | null, answer: Answer | null) => void;

/**
 * One HTTP exchange as undici's `dispatch` sees it. Measured with 300 bytes each way, 16 in flight, Unix socket:
 * `dispatch` 76,000 exchanges/s, node:http's agent 29,000, `request` with its streams and promises 23,000.
 */
export class Exchange implements Dispatcher.DispatchHandler {
  readonly #done: Done;
  readonly #chunks: Buffer[] = [];
  #controller: Dispatcher.DispatchController | null = null;
  #isAborted = false;
  #status = 0;
  #headers: IncomingHttpHeaders = {};
  /** Whether the request went out: from then on the other side may have acted on it. */
  isSent = false;

  constructor(done: Done) {
    this.#done = done;
  }

  /** Closes the connection, by which the other side learns that nobody waits any more. */
  abort(): void {
    this.#isAborted = true;
    this.#controller?.abort(new Error('Nobody waits for the answer any more.'));
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    this.#controller = controller;
    if (this.#isAborted) this.abort();
    else this.isSent = true;
  }

  onResponseStart(_controller: unknown, status: number, headers: IncomingHttpHeaders): void {
    this.#status = status;
    this.#headers = headers;
  }

  onResponseData(_controller: unknown, chunk: Buffer): void {
    this.#chunks.push(chunk);
  }

  onResponseEnd(): void {
    const body = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks);
    this.#done(null, { status: this.#status, headers: this.#headers, body });
  }

  onResponseError(_controller: unknown, error: Error): void {
    // undici refuses some requests within `dispatch`, when its caller does not hold the exchange yet.
    queueMicrotask(() => this.#done(error, null));
  }
}
