/**
 * Requests that are there at the same time share a run. A lone request runs at once, and what arrives during a run forms
 * the next. Only where more were answered by the last run than wait for the next one may that wait a moment for them to
 * come back with their next requests.
 */
import type { Timing } from '../../inference/replica-status.ts';
import { sharedRows, stack, stackable, unstack } from '../../tensor/batch.ts';
import { sameNames, type NamedTensor } from '../../tensor/tensor.ts';
import type { Batching } from './launch.ts';
import type { Run } from './runner.ts';

export interface Ran extends Timing {
  readonly outputs: readonly NamedTensor[];
}

/** Nobody waits for the answer any more, so it was not computed. */
export class Abandoned extends Error {
  override readonly name = 'Abandoned';
}

const nextTurn = (): Promise<void> => new Promise((resolve) => void setImmediate(resolve));

interface Job {
  readonly inputs: readonly NamedTensor[];
  readonly outputs: readonly string[];
  /** null when its inputs have no first dimension in common. */
  readonly rows: number | null;
  readonly arrivedAt: number;
  readonly isAbandoned: () => boolean;
  readonly resolve: (ran: Ran) => void;
  readonly reject: (error: unknown) => void;
}

export class Batcher {
  readonly #run: Run;
  #waiting: Job[] = [];
  #isRunning = false;
  readonly #batching: Batching;
  #sharedRows = 0;
  /** Ends the wait for company. */
  #enough: (() => void) | null = null;
  #awaited = 0;

  constructor(run: Run, batching: Batching) {
    this.#run = run;
    this.#batching = batching;
  }

  /** Rows of several requests that may share a run; 0 or 1 while that is not known, or not to be. */
  get sharedRows(): number {
    return this.#sharedRows;
  }

  set sharedRows(worth: number) {
    this.#sharedRows = Math.min(worth, this.#batching.maxRows);
  }

  /** @throws the runtime's error, or Abandoned. */
  submit(
    inputs: readonly NamedTensor[],
    outputs: readonly string[],
    isAbandoned: () => boolean,
  ): Promise<Ran> {
    return new Promise((resolve, reject) => {
      const rows = sharedRows(inputs);
      this.#waiting.push({
        inputs,
        outputs,
        rows,
        arrivedAt: performance.now(),
        isAbandoned,
        resolve,
        reject,
      });
      if (this.#isRunning) {
        if (this.#waiting.length >= this.#awaited) this.#enough?.();
        return;
      }
      this.#isRunning = true;
      // After the poll phase: by then everything that this turn brought has been read.
      setImmediate(() => void this.#drain());
    });
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#take();
      await this.#runTogether(batch);
      // A run blocks the thread: let it read first what came, and who left, in the meantime.
      if (this.#waiting.length > 0) await nextTurn();
      if (this.#waiting.length > 0 && this.#waiting.length < batch.length) await this.#company(batch.length);
    }
    this.#isRunning = false;
  }

  /** Waits until as many are there as shared the last run, but no longer than is allowed. */
  #company(jobs: number): Promise<void> | undefined {
    const { maxDelayMs } = this.#batching;
    if (maxDelayMs <= 0 || this.#sharedRows <= 1) return undefined;
    return new Promise((resolve) => {
      const timer = setTimeout(() => this.#enough?.(), maxDelayMs);
      this.#awaited = jobs;
      this.#enough = () => {
        clearTimeout(timer);
        this.#enough = null;
        resolve();
      };
    });
  }

  /** The oldest request and those that can join it. */
  #take(): Job[] {
    const batch: Job[] = [];
    const rest: Job[] = [];
    let rows = 0;
    for (const job of this.#waiting) {
      if (job.isAbandoned()) {
        job.reject(new Abandoned('The caller went away.'));
      } else if (batch.length === 0 || this.#joins(batch[0]!, job, rows)) {
        batch.push(job);
        rows += job.rows ?? this.#sharedRows;
      } else {
        rest.push(job);
      }
    }
    this.#waiting = rest;
    return batch;
  }

  #joins(first: Job, job: Job, rows: number): boolean {
    return (
      first.rows !== null &&
      job.rows !== null &&
      rows + job.rows <= this.#sharedRows &&
      sameNames(first.outputs, job.outputs) &&
      stackable(first.inputs, job.inputs)
    );
  }

  async #runTogether(batch: readonly Job[]): Promise<void> {
    const [first] = batch;
    if (first === undefined) return;
    if (batch.length === 1) return this.#runAlone(first);
    const startedAt = performance.now();
    let parts: NamedTensor[][] | null = null;
    const counts = batch.map((job) => job.rows as number);
    try {
      const outputs = await this.#run(stack(batch.map((job) => job.inputs)), first.outputs);
      parts = unstack(outputs, counts);
    } catch {
      // One of them is to blame: alone, only that one fails.
    }
    if (parts === null) {
      for (const job of batch) await this.#runAlone(job);
      return;
    }
    const computeMs = performance.now() - startedAt;
    const batchSize = counts.reduce((sum, count) => sum + count, 0);
    batch.forEach((job, index) => {
      const outputs = parts[index]!;
      job.resolve({ outputs, queueMs: startedAt - job.arrivedAt, computeMs, batchSize });
    });
  }

  async #runAlone(job: Job): Promise<void> {
    const startedAt = performance.now();
    try {
      const outputs = await this.#run(job.inputs, job.outputs);
      const computeMs = performance.now() - startedAt;
      job.resolve({ outputs, queueMs: startedAt - job.arrivedAt, computeMs, batchSize: job.rows ?? 1 });
    } catch (error) {
      job.reject(error);
    }
  }
}
