/** One subscriber within a group, in the shape that graphql-ws iterates: a generator that never yields. */
import type { LiveFeed } from './live-source.ts';
import type { Seat } from './seat.ts';

type Done = IteratorResult<never, void>;
const done: Done = { done: true, value: undefined };

export class Member implements AsyncGenerator<never, void, void> {
  readonly seat: Seat;
  readonly feed: LiveFeed<object>;
  /** Order of the last event sent. */
  last = -Infinity;
  /** The past is sent. */
  live = false;
  /** Missed an event; the next one must say so. */
  behind = false;
  /** Events missed in a row. */
  skipped = 0;
  readonly #head: string;
  readonly #join: (member: Member) => void;
  readonly #leave: (member: Member) => Promise<void>;
  readonly #ended = Promise.withResolvers<Done>();
  #begun = false;

  constructor(
    seat: Seat,
    feed: LiveFeed<object>,
    join: (member: Member) => void,
    leave: (member: Member) => Promise<void>,
  ) {
    this.seat = seat;
    this.feed = feed;
    this.#head = `{"id":${JSON.stringify(seat.id)},"type":"next","payload":`;
    this.#join = join;
    this.#leave = leave;
    // Whether anybody listens to a failure depends on the client.
    this.#ended.promise.catch(() => undefined);
  }

  send(json: string, at: number): void {
    this.seat.wire.write(`${this.#head}${json}}`);
    this.#sent(at);
  }

  sendAll(jsons: readonly string[], at: number): void {
    this.seat.wire.writeAll(jsons.map((json) => `${this.#head}${json}}`));
    this.#sent(at);
  }

  #sent(at: number): void {
    this.last = at;
    this.behind = false;
    this.skipped = 0;
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
        this.#join(this);
      } catch (error) {
        this.fail(error);
      }
    }
    return this.#ended.promise;
  }

  async return(): Promise<Done> {
    this.#begun = true;
    this.end();
    await this.#leave(this);
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
