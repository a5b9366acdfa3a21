/** Keeps count of what decompression produces, for a whole inspection. */
import type { Limits } from '../limits.ts';
import { Bomb, TooLarge } from './compression.errors.ts';

const mega = 1e6;

export class Expansion {
  readonly #limits: Limits;
  /** Size of the file that is inspected, in bytes. */
  readonly #fileBytes: number;
  #produced = 0;

  constructor(limits: Limits, fileBytes: number) {
    this.#limits = limits;
    this.#fileBytes = fileBytes;
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
