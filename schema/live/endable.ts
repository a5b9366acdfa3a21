/** An async generator that can be ended from outside, at any moment. */

type Done = IteratorResult<never, void>;
const done: Done = { done: true, value: undefined };

/**
 * Wraps an iterator so that `return()` works at once: a `next()` that is waiting resolves as done, and nothing is
 * handed out any more. A plain async generator would first wait for its next item, and hand that out.
 */
export class Endable<T> implements AsyncGenerator<T, void, void> {
  readonly #iterator: AsyncIterator<T>;
  readonly #onEnd: () => void;
  readonly #waiting = new Set<(result: Done) => void>();
  #ended = false;

  /** @param onEnd called once, before the iterator is ended: makes the iterator stop waiting, where it can. */
  constructor(iterator: AsyncIterator<T>, onEnd: () => void = () => undefined) {
    this.#iterator = iterator;
    this.#onEnd = onEnd;
  }

  next(): Promise<IteratorResult<T, void>> {
    if (this.#ended) return Promise.resolve(done);
    const { promise, resolve, reject } = Promise.withResolvers<IteratorResult<T, void>>();
    void this.#forward(resolve, reject);
    return promise;
  }

  async #forward(
    resolve: (result: IteratorResult<T, void>) => void,
    reject: (error: unknown) => void,
  ): Promise<void> {
    this.#waiting.add(resolve);
    try {
      const result = await this.#iterator.next();
      // Where it was ended meanwhile, the promise is settled already.
      resolve(result.done ? done : result);
    } catch (error) {
      reject(error);
    } finally {
      this.#waiting.delete(resolve);
    }
  }

  /** Does not wait for the iterator's own end: it may be busy until its next item. */
  return(): Promise<Done> {
    if (!this.#ended) {
      this.#ended = true;
      for (const resolve of this.#waiting) resolve(done);
      this.#waiting.clear();
      this.#onEnd();
      this.#iterator.return?.().catch(() => undefined);
    }
    return Promise.resolve(done);
  }

  async throw(error: unknown): Promise<Done> {
    await this.return();
    throw error;
  }

  [Symbol.asyncIterator](): this {
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.return();
  }
}
