/** Writing a file in few, large, positional writes, without copying what arrives. */
import type { FileHandle } from 'node:fs/promises';
import { onDisk } from './disk.ts';

const GATHER_BYTES = 1024 ** 2;

/**
 * Gathers chunks until a megabyte is there and writes that while the next one is gathered: hashing (this thread) and
 * writing (another one) go on side by side. One write at a time and in order, so whatever kills the process, the file
 * is a beginning of what arrived, without a hole.
 */
export class FileWriter {
  readonly #file: FileHandle;
  readonly #onWrite: (bytes: number) => Promise<void>;
  #gathered: Buffer[] = [];
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
    this.#gathered.push(chunk);
    this.#gatheredBytes += chunk.length;
    if (this.#gatheredBytes < GATHER_BYTES) return undefined;
    const before = this.#isWriting ? this.#writing : undefined;
    this.#begin();
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
    const chunks = this.#gathered;
    const bytes = this.#gatheredBytes;
    if (bytes === 0) return;
    this.#gathered = [];
    this.#gatheredBytes = 0;
    const at = this.#position;
    this.#position += bytes;
    const writing = this.#writing.then(() => onDisk(() => this.#write(chunks, bytes, at)));
    this.#isWriting = true;
    this.#writing = writing;
    // Told to whoever comes next, by `add` or `end`.
    writing.then(
      () => {
        if (this.#writing === writing) this.#isWriting = false;
      },
      () => undefined,
    );
  }

  async #write(chunks: readonly Buffer[], bytes: number, at: number): Promise<void> {
    await this.#onWrite(bytes);
    let left = chunks;
    let position = at;
    while (left.length > 0) {
      const { bytesWritten } = await this.#file.writev(left, position);
      position += bytesWritten;
      left = behind(left, bytesWritten);
    }
  }
}

/** What is left of chunks behind their first bytes: a write may be short, where a limit or a signal cuts it. */
function behind(chunks: readonly Buffer[], written: number): Buffer[] {
  let skip = written;
  return chunks.flatMap((chunk) => {
    const skipped = Math.min(skip, chunk.length);
    skip -= skipped;
    return skipped === chunk.length ? [] : [chunk.subarray(skipped)];
  });
}
