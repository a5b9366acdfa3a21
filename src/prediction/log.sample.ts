/**
 * An unbiased sample within bounds of what is offered, however much that is. Each item gets a number at random; those with
 * the least numbers stay (bottom-k sampling). Every item has the same chance, whatever its size and whenever it came, and
 * what will not stay is told from one number, without being looked at.
 * Source: E. Cohen, H. Kaplan, "Summarizing Data Using Bottom-k Sketches", PODC 2007.
 */

interface Kept<T> {
  readonly item: T;
  readonly bytes: number;
  readonly number: number;
}

/** What was taken out; it may be put back. */
export interface Taken<T> {
  readonly kept: readonly Kept<T>[];
  readonly threshold: number;
}

export interface Bounds {
  readonly items: number;
  readonly bytes: number;
}

export class Sample<T> {
  readonly #most: Bounds;
  readonly #onDropped: (item: T) => void;
  readonly #random: () => number;
  #kept: Kept<T>[] = [];
  #bytes = 0;
  /** Whoever has this number or a higher one does not stay. */
  #threshold = 1;

  /** At no time more than twice of `most` is held, and an item. */
  constructor(most: Bounds, onDropped: (item: T) => void, random: () => number = Math.random) {
    this.#most = most;
    this.#onDropped = onDropped;
    this.#random = random;
    if (most.items === 0) this.#threshold = 0;
  }

  /** A number for the next item; undefined when it would not stay. */
  draw(): number | undefined {
    const number = this.#random();
    return number < this.#threshold ? number : undefined;
  }

  /** Holds an item under the number that was drawn for it. */
  hold(item: T, bytes: number, number: number): void {
    this.#kept.push({ item, bytes, number });
    this.#bytes += bytes;
    if (this.#kept.length > 2 * this.#most.items || this.#bytes > 2 * this.#most.bytes) this.#sift();
  }

  /** Takes everything out, and begins anew. */
  take(): Taken<T> {
    this.#sift();
    const taken = { kept: this.#kept, threshold: this.#threshold };
    this.#kept = [];
    this.#bytes = 0;
    this.#threshold = this.#most.items === 0 ? 0 : 1;
    return taken;
  }

  /** From here on it is one sample of that and of all that came and comes. */
  putBack({ kept, threshold }: Taken<T>): void {
    this.#threshold = Math.min(this.#threshold, threshold);
    this.#kept.push(...kept);
    this.#sift();
  }

  #sift(): void {
    const sorted = this.#kept.toSorted((a, b) => a.number - b.number);
    let bytes = 0;
    const end = sorted.findIndex((each, index) => {
      const stays =
        each.number < this.#threshold && index < this.#most.items && bytes + each.bytes <= this.#most.bytes;
      if (stays) bytes += each.bytes;
      return !stays;
    });
    this.#kept = end === -1 ? sorted : sorted.slice(0, end);
    this.#bytes = bytes;
    if (end === -1) return;
    this.#threshold = Math.min(this.#threshold, sorted[end]!.number);
    for (const { item } of sorted.slice(end)) this.#onDropped(item);
  }
}
