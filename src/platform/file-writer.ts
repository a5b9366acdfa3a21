/** Writing a file in few, large, positional writes. */
import type { FileHandle } from 'node:fs/promises';
import { onDisk } from './disk.ts';

const GATHER_BYTES = 1024 ** 2;

/**
 * Gathers chunks until a megabyte is there and writes that while the next one is gathered: hashing (this thread) and
 * writing (another one) go on side by side. One write at a time and in order, so whatever kills the process, the file
 * is a beginning of what arrived, without a hole.
 *
 * Chunks are copied into a few buffers that are used again and again: keeping them until they are written would cost
 * less time and far more memory, as the collector comes by only once a good deal of them has gathered.
 */
export class FileWriter {
  readonly #file: FileHandle;
  readonly #onWrite: (bytes: number) => Promise<void>;
  readonly #spare: Buffer[] = [];
  #gathered: Buffer = Buffer.allocUnsafeSlow(GATHER_BYTES);
  #gatheredBytes = 0;
  #position: number;
  #writing: Promise<void> = Promise.resolve();
  #isWriting = false;

  /** @param onWrite is told of each write before it begins, and may refuse. */
  constructor(file: FileHandle, position: number, onWrite: (bytes: number) => Promise<void>) {
    this.#file = file;
    this.#position = position;
    this.#onWrite = onWrite;
  }

  /** What to wait for before the next chunk, if anything; it rejects as the write before failed (see `diskFault`). */
  add(chunk: Buffer): Promise<void> | undefined {
    let before: Promise<void> | undefined;
    for (let taken = 0; taken < chunk.length;) {
      const copied = chunk.copy(this.#gathered, this.#gatheredBytes, taken);
      taken += copied;
      this.#gatheredBytes += copied;
      if (this.#gatheredBytes < GATHER_BYTES) continue;
      before = this.#isWriting ? this.#writing : undefined;
      this.#begin();
    }
    return before;
  }

  /** Writes what is left; resolves once everything is in the file. */
  async end(): Promise<void> {
    this.#begin();
    await this.#writing;
  }

  /** Resolves once nothing is being written any more, whether it went well or not. */
  async settled(): Promise<void> {
    await this.#writing.catch(() => undefined);
  }

  #begin(): void {
    const content = this.#gathered.subarray(0, this.#gatheredBytes);
    if (content.length === 0) return;
    const used = this.#gathered;
    const at = this.#position;
    this.#gathered = this.#spare.pop() ?? Buffer.allocUnsafeSlow(GATHER_BYTES);
    this.#gatheredBytes = 0;
    this.#position += content.length;
    const writing = this.#writing.then(() => onDisk(() => this.#write(content, at)));
    this.#isWriting = true;
    this.#writing = writing;
    const written = (): void => {
      this.#spare.push(used);
      if (this.#writing === writing) this.#isWriting = false;
    };
    // Its failure is told to whoever comes next, by `add` or `end`.
    writing.then(written, () => undefined);
  }

  async #write(content: Buffer, at: number): Promise<void> {
    await this.#onWrite(content.length);
    // A write may be short, where a limit or a signal cuts it.
    for (let written = 0; written < content.length;) {
      const { bytesWritten } = await this.#file.write(
        content,
        written,
        content.length - written,
        at + written,
      );
      written += bytesWritten;
    }
  }
}
