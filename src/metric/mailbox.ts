/** A short queue between a source that never waits and a reader that may be slow. */

/** More than one, so that a process that was late by a second or two still hands on every item. */
const CAPACITY = 3;

/**
 * An async sequence that is pushed to. When the reader does not keep up, only the newest item stays, changed by
 * `markGap`. Unlike an async generator, `return()` works at once while a `next()` is waiting.
 */
export class Mailbox<T> implements AsyncGenerator<T, void, void> {
  readonly #markGap: (item: T) => T;
  readonly #onEnd: () => void;
  #past: readonly T[] = [];
  #read = 0;
  #items: T[] = [];
  #ended = false;
  #waiting: ((result: IteratorResult<T, void>) => void)[] = [];

  constructor(markGap: (item: T) => T, onEnd: () => void) {
    this.#markGap = markGap;
    this.#onEnd = onEnd;
  }

  push(item: T): void {
    if (this.#ended) return;
    const waiting = this.#waiting.shift();
    if (waiting) return waiting({ done: false, value: item });
    if (this.#items.length < CAPACITY) this.#items.push(item);
    else this.#items = [this.#markGap(item)];
  }

  /** What the reader gets before anything that is pushed, as many as there are. */
  startWith(past: readonly T[]): void {
    this.#past = past;
    for (const item of past.slice(0, this.#waiting.length)) {
      this.#read++;
      this.#waiting.shift()?.({ done: false, value: item });
    }
  }

  next(): Promise<IteratorResult<T, void>> {
    const item = this.#read < this.#past.length ? this.#past[this.#read++] : this.#items.shift();
    if (item !== undefined) return Promise.resolve({ done: false, value: item });
    if (this.#ended) return Promise.resolve({ done: true, value: undefined });
    return new Promise((resolve) => this.#waiting.push(resolve));
  }

  get ended(): boolean {
    return this.#ended;
  }

  end(): void {
    if (this.#ended) return;
    this.#ended = true;
    for (const waiting of this.#waiting.splice(0)) waiting({ done: true, value: undefined });
    this.#onEnd();
  }

  return(): Promise<IteratorResult<T, void>> {
    this.#past = [];
    this.#items = [];
    this.end();
    return Promise.resolve({ done: true, value: undefined });
  }

  async throw(error: unknown): Promise<IteratorResult<T, void>> {
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
