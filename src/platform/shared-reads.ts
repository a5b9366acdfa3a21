/**
 * Answers many who ask for the same with one read. A read begins when the turn of the event loop has brought all it had,
 * and nobody joins it from then on: whoever asks while one is under way waits for its end and shares the next. So
 * everybody sees what was committed before they asked, and the busier it is, the more share.
 */
export class SharedReads {
  /** By key: the read that has not begun yet. */
  readonly #next = new Map<string, Promise<unknown>>();
  /** By key: the end of the read that is under way. */
  readonly #running = new Map<string, Promise<void>>();

  /** Answers with what `run` answers; those who share a read get the very same object. */
  share<T>(key: string, run: () => Promise<T>): Promise<T> {
    const known = this.#next.get(key);
    if (known) return known as Promise<T>;
    const begin = (this.#running.get(key) ?? endOfTurn()).then(() => {
      this.#next.delete(key);
      const answer = run();
      const end = answer.then(ignore, ignore).then(() => {
        if (this.#running.get(key) === end) this.#running.delete(key);
      });
      this.#running.set(key, end);
      return answer;
    });
    this.#next.set(key, begin);
    return begin;
  }
}

const ignore = (): void => undefined;

/** After the poll phase: by then every request that arrived in this turn has asked. */
const endOfTurn = (): Promise<void> => new Promise((resolve) => setImmediate(resolve));
