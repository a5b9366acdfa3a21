/** Keeps count of what decompression produces, for a whole inspection. */
import type { Limits } from '../limits.ts';
import { Bomb, TooLarge } from './compression.errors.ts';

const mega = 1e6;

/** How often all of it may be unpacked, on average; and how much counts as unpacked in any case, in bytes. */
const repeats = 64;
const repeatFloor = 256 * 2 ** 20;

export class Expansion {
  readonly #limits: Limits;
  /** Size of the file that is inspected, in bytes. */
  readonly #fileBytes: number;
  #produced = 0;
  #work = 0;

  constructor(limits: Limits, fileBytes: number) {
    this.#limits = limits;
    this.#fileBytes = fileBytes;
  }

  /**
   * Adds bytes that came out of a decompressor, for the first time or again: what does not fit into memory is unpacked
   * anew for each look at it, and an archive of many such members would take for ever.
   * @throws TooLarge
   */
  worked(bytes: number): void {
    this.#work += bytes;
    if (this.#work <= repeats * Math.max(this.#produced, repeatFloor)) return;
    throw new TooLarge('Its members are so many and large that looking at each of them would take too long.');
  }

  /**
   * Adds bytes that were, or are said to be, unpacked. Archives within archives count each time: that is how a few
   * kilobytes become petabytes.
   * @throws Bomb, TooLarge
   */
  add(bytes: number): void {
    this.#produced += bytes;
    const { expansionFloor, expansionRatio, expandedBytes } = this.#limits;
    if (this.#produced > expansionFloor && this.#produced > expansionRatio * this.#fileBytes) {
      const size = Math.round(this.#produced / mega);
      throw new Bomb(`Its ${this.#fileBytes} bytes unpack to ${size} MB or more.`);
    }
    if (this.#produced > expandedBytes) {
      throw new TooLarge(`It unpacks to more than ${Math.round(expandedBytes / mega)} MB.`);
    }
  }
}
