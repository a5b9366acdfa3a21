/** Taking in a stream of unknown size: chunk by chunk, counted and hashed. */
import { createHash } from 'node:crypto';
import type { Readable } from 'node:stream';
import { ValidationError } from './errors.ts';

/** A stream that fails before it is read must not end the process: `consume` tells of it later. */
export function keepAlive(source: Readable): void {
  source.on('error', () => undefined);
}

/**
 * Reads a stream to its end. It waits while what `take` has returned is pending, and `take` is never called again once
 * the promise has settled. The stream is not destroyed: after a failure it is left paused.
 * @throws what `take` throws, the stream's own error, the signal's reason; after the last `take` has settled.
 */
export function consume(
  source: Readable,
  take: (chunk: Buffer) => Promise<void> | undefined,
  signal?: AbortSignal,
): Promise<void> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  let taking: Promise<void> = Promise.resolve();
  let isOver = false;
  const over = (settle: () => void): void => {
    if (isOver) return;
    isOver = true;
    source.off('data', onData).off('end', onEnd).off('close', onClose).off('error', onError);
    signal?.removeEventListener('abort', onAbort);
    source.pause();
    keepAlive(source);
    taking.then(settle, reject);
  };
  const fail = (error: unknown): void => over(() => reject(error));
  const goOn = (): void => {
    if (!isOver) source.resume();
  };
  const onData = (chunk: Buffer): void => {
    try {
      const waiting = take(chunk);
      if (!waiting) return;
      source.pause();
      taking = waiting;
      waiting.then(goOn, fail);
    } catch (error) {
      fail(error);
    }
  };
  const onEnd = (): void => over(resolve);
  const onError = fail;
  const onClose = (): void => fail(source.errored ?? new Error('The stream ended before its end.'));
  const onAbort = (): void => fail(signal?.reason);
  if (signal?.aborted) onAbort();
  else if (source.readableEnded) onEnd();
  else if (source.destroyed) onClose();
  else {
    signal?.addEventListener('abort', onAbort);
    source.on('end', onEnd).on('close', onClose).on('error', onError).on('data', onData);
  }
  return promise;
}

/** Counts and hashes what passes. */
export class Tally {
  bytes = 0;
  readonly #hash = createHash('sha256');
  readonly #maxBytes: number;

  constructor(maxBytes: number, expectedBytes = 0) {
    this.#maxBytes = maxBytes;
    if (expectedBytes > maxBytes) throw this.#tooMany();
  }

  /** @throws ValidationError when there are too many. */
  add(chunk: Buffer): void {
    this.bytes += chunk.length;
    if (this.bytes > this.#maxBytes) throw this.#tooMany();
    this.#hash.update(chunk);
  }

  /** To be asked once. */
  digest(): string {
    return this.#hash.digest('hex');
  }

  #tooMany(): ValidationError {
    return ValidationError.of(['files'], `at most ${this.#maxBytes} bytes a file`, 'more', {
      hint: 'Raise MAX_FILE_BYTES.',
    });
  }
}

/** SHA-256 of a stream. */
export async function digestOf(source: Readable, signal?: AbortSignal): Promise<string> {
  const tally = new Tally(Number.MAX_SAFE_INTEGER);
  try {
    await consume(
      source,
      (chunk) => {
        tally.add(chunk);
        return undefined;
      },
      signal,
    );
  } finally {
    source.destroy();
  }
  return tally.digest();
}
