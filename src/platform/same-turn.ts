/**
 * The same question, asked several times in one turn of the event loop, answered once. The work begins when the turn has
 * brought all it had, and from then on nobody joins it: whoever asks sees everything that was committed before they asked.
 */
export class SameTurn {
  readonly #waiting = new Map<string, Promise<unknown>>();

  /** Answers with what `run` answers; whoever asks under the same key in this turn gets the very same object. */
  share<T>(key: string, run: () => Promise<T>): Promise<T> {
    const known = this.#waiting.get(key);
    if (known) return known as Promise<T>;
    const shared = new Promise<T>((resolve) => {
      // After the poll phase: by then every request that arrived in this turn has asked.
      setImmediate(() => {
        this.#waiting.delete(key);
        resolve(run());
      });
    });
    this.#waiting.set(key, shared);
    return shared;
  }
}
