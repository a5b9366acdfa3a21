/**
 * Requests that one turn of the event loop brought share a run. Nothing waits for company: a lone request runs at
 * once, and what arrives during a run forms the next.
 */
import type { Timing } from '../../inference/replica-status.ts';
import { sharedRows, stack, stackable, unstack } from '../../tensor/batch.ts';
import { sameNames, type NamedTensor } from '../../tensor/tensor.ts';
import type { Run } from './runner.ts';

/** Rows of a shared run, at most: past a few hundred a row gets no cheaper, only later. */
const MOST_ROWS = 256;

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
  /** Whether rows do not influence one another; until that is known, every request runs alone. */
  rowsIndependent = false;

  constructor(run: Run) {
    this.#run = run;
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
      if (this.#isRunning) return;
      this.#isRunning = true;
      // After the poll phase: by then everything that this turn brought has been read.
      setImmediate(() => void this.#drain());
    });
  }

  async #drain(): Promise<void> {
    while (this.#waiting.length > 0) {
      await this.#runTogether(this.#take());
      // A run blocks the thread: let it read first what came, and who left, in the meantime.
      if (this.#waiting.length > 0) await nextTurn();
    }
    this.#isRunning = false;
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
        rows += job.rows ?? MOST_ROWS;
      } else {
        rest.push(job);
      }
    }
    this.#waiting = rest;
    return batch;
  }

  #joins(first: Job, job: Job, rows: number): boolean {
    return (
      this.rowsIndependent &&
      first.rows !== null &&
      job.rows !== null &&
      rows + job.rows <= MOST_ROWS &&
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
