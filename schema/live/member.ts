/** One subscriber within a group, in the shape that graphql-ws iterates: a generator that never yields. */
import type { Seat } from './seat.ts';

type Done = IteratorResult<never, void>;
const done: Done = { done: true, value: undefined };

export class Member implements AsyncGenerator<never, void, void> {
  readonly seat: Seat;
  /** Order of the last event sent. */
  last: number;
  /** The past is sent. */
  live = false;
  readonly #join: () => void;
  readonly #leave: () => Promise<void>;
  readonly #ended = Promise.withResolvers<Done>();
  #begun = false;

  constructor(seat: Seat, last: number, join: () => void, leave: () => Promise<void>) {
    this.seat = seat;
    this.last = last;
    this.#join = join;
    this.#leave = leave;
    // Whether anybody listens to a failure depends on the client.
    this.#ended.promise.catch(() => undefined);
  }

  end(): void {
    this.#ended.resolve(done);
  }

  fail(error: unknown): void {
    this.#ended.reject(error);
  }

  /** Joins at the first call: graphql-ws makes none where the client has completed the operation by then. */
  next(): Promise<Done> {
    if (!this.#begun) {
      this.#begun = true;
      try {
        this.#join();
      } catch (error) {
        this.fail(error);
      }
    }
    return this.#ended.promise;
  }

  async return(): Promise<Done> {
    this.#begun = true;
    this.end();
    await this.#leave();
    return done;
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
