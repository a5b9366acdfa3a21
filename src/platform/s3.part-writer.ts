/** Cutting a stream into parts of one size, which go on their way while the next one is gathered. */

/** What did not fill a part. */
export interface Rest {
  readonly rest: Buffer;
  /** Where it begins, in bytes from the upload's beginning. */
  readonly from: number;
}

/** Parts on their way at a time; each is held in memory. */
const AT_A_TIME = 2;

export class PartWriter {
  readonly #partBytes: number;
  readonly #put: (number: number, body: Buffer) => Promise<void>;
  readonly #sending = new Set<Promise<void>>();
  /** Buffers of parts that have arrived: used again, as the collector would come by for them too late. */
  readonly #spare: Buffer[] = [];
  #parts: number;
  #gathered: Buffer | undefined;
  #gatheredBytes = 0;
  #failure: { readonly error: unknown } | undefined;

  /** @param parts that are there already. */
  constructor(partBytes: number, parts: number, put: (number: number, body: Buffer) => Promise<void>) {
    this.#partBytes = partBytes;
    this.#parts = parts;
    this.#put = put;
  }

  /** What to wait for before the next chunk, if anything; it rejects as an earlier part failed. */
  add(chunk: Buffer): Promise<void> | undefined {
    for (let taken = 0; taken < chunk.length;) {
      this.#gathered ??= this.#spare.pop() ?? Buffer.allocUnsafeSlow(this.#partBytes);
      const copied = chunk.copy(this.#gathered, this.#gatheredBytes, taken);
      taken += copied;
      this.#gatheredBytes += copied;
      if (this.#gatheredBytes === this.#partBytes) this.#send(this.#gathered);
    }
    if (!this.#failure && this.#sending.size < AT_A_TIME) return undefined;
    const turn = this.#turn();
    // `end` tells it, too, where nobody waits for this.
    turn.catch(() => undefined);
    return turn;
  }

  /** Resolves once every full part is there, and none is on its way any more, with what is left. */
  async end(): Promise<Rest> {
    await Promise.all(this.#sending);
    if (this.#failure) throw this.#failure.error;
    const rest = this.#gathered?.subarray(0, this.#gatheredBytes) ?? Buffer.alloc(0);
    return { rest, from: this.#parts * this.#partBytes };
  }

  async #turn(): Promise<void> {
    while (this.#sending.size >= AT_A_TIME) await Promise.race(this.#sending);
    if (this.#failure) throw this.#failure.error;
  }

  #send(body: Buffer): void {
    this.#gathered = undefined;
    this.#gatheredBytes = 0;
    this.#parts += 1;
    const sending = this.#put(this.#parts, body)
      .then(() => void this.#spare.push(body))
      .catch((error: unknown) => void (this.#failure ??= { error }))
      .finally(() => this.#sending.delete(sending));
    this.#sending.add(sending);
  }
}
