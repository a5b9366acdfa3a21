/** Knows which writers there are and what of theirs has not arrived, so that a frame can say it is partial. */
import { SHARDS, type Batch } from './stream.ts';

/** A writer that has gone silent without a word makes this many seconds partial, then counts as gone. */
const SILENT_SECONDS = 3;
const FORGET_SECONDS = 60;

interface WriterState {
  sequence: number;
  second: number;
  idle: boolean;
}

export class Completeness {
  readonly #writers: Map<string, WriterState>[] = Array.from({ length: SHARDS }, () => new Map());
  /** Seconds of which a shard is known to lack batches: one bit a shard. */
  readonly #lacking = new Map<number, number>();

  /** Notes a batch. Returns false where it was noted before (a stream was read again). */
  arrived(shard: number, batch: Batch): boolean {
    const writers = this.#writers[shard];
    const { writer, sequence, second, idle } = batch;
    const before = writers?.get(writer);
    if (before && sequence <= before.sequence) return false;
    // A writer has one batch a second, so those missing belong to the seconds between its neighbours.
    if (before && sequence > before.sequence + 1) {
      const first = Math.max(before.second + 1, second - FORGET_SECONDS);
      for (let each = first; each < second; each++) this.#mark(each, 1 << shard);
    }
    writers?.set(writer, { sequence, second, idle });
    return true;
  }

  /** Notes that all shards lack something in that second. */
  markAll(second: number): void {
    this.#mark(second, (1 << SHARDS) - 1);
  }

  /** The shards that lack something in a second that is being closed, one bit each; closes in order. */
  close(second: number): number {
    let lacking = this.#lacking.get(second) ?? 0;
    this.forget(second);
    this.#writers.forEach((writers, shard) => {
      for (const [writer, state] of writers) {
        const silent = second - state.second;
        if (silent > FORGET_SECONDS) writers.delete(writer);
        else if (silent > 0 && silent <= SILENT_SECONDS && !state.idle) lacking |= 1 << shard;
      }
    });
    return lacking;
  }

  /** Forgets marks of seconds up to this one. */
  forget(upTo: number): void {
    for (const second of this.#lacking.keys()) if (second <= upTo) this.#lacking.delete(second);
  }

  #mark(second: number, shards: number): void {
    this.#lacking.set(second, (this.#lacking.get(second) ?? 0) | shards);
  }
}
