/** A pickle's memo: numbered places for values that occur again. */
import type { Value } from './value.ts';

/** Picklers number in order; a place this far beyond the last is kept apart, not padded up to. */
const densestGap = 1024;

export class Memo {
  /** An array where a map would do: a vocabulary of a million words is a million entries. */
  readonly #places: (Value | undefined)[] = [];
  readonly #distant = new Map<number, Value>();
  readonly #below: Memo | undefined;
  #size: number;

  /** @param below is read where this memo has nothing, and not written. */
  constructor(below?: Memo) {
    this.#below = below;
    this.#size = below?.size ?? 0;
  }

  /** How many places are taken: the number that MEMOIZE takes next. */
  get size(): number {
    return this.#size;
  }

  /** undefined where the place is empty; None is null. */
  get(place: number): Value | undefined {
    const near = this.#places[place];
    if (near !== undefined) return near;
    const distant = this.#distant.get(place);
    return distant === undefined ? this.#below?.get(place) : distant;
  }

  set(place: number, value: Value): void {
    if (this.get(place) === undefined) this.#size += 1;
    if (place > this.#places.length + densestGap) {
      this.#distant.set(place, value);
      return;
    }
    while (this.#places.length < place) this.#places.push(undefined);
    this.#places[place] = value;
  }
}
