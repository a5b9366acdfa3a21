/**
 * The prediction log: what answered, with what, and why. Whoever predicts hands over references and goes on; what becomes a
 * row of them is worked out and written twice a second, beside the way. What is held meanwhile is bounded, also while
 * PostgreSQL is away: of more than the configuration allows an unbiased sample is kept, and the rest is counted.
 */
import { setImmediate, setTimeout as delay } from 'node:timers/promises';
import type { Config } from '../platform/config.ts';
import { isDatabaseAway, isPartitionMissing } from '../platform/database.ts';
import type { Platform } from '../platform/platform.ts';
import { heldBytes } from '../tensor/packed.ts';
import { encode, idOf, type Encoded, type LogEntry, type Settings, type Waiting } from './log.entry.ts';
import { findSettings, insertPredictions } from './log.queries.ts';
import { Sample, type Taken } from './log.sample.ts';
import { addPartitions } from './partition.ts';

export interface PredictionLog {
  /** Takes down a request that has ended. Never throws, and never waits. */
  record(entry: LogEntry): void;
  /** Writes what is left, for a few seconds at most. */
  close(): Promise<void>;
}

const FLUSH_MS = 500;
const CLOSE_MS = 5_000;
const COMPLAIN_MS = 10_000;
/** One request's share of the bytes that a flush may hold; what is larger is logged without its payload. */
const LARGEST_SHARE = 8;
/** Rows that are worked out before others get their turn of the event loop. */
const AT_ONCE = 32;
/** After so many failures in a row that are not PostgreSQL's absence, what was to be written is given up. */
const MOST_FAILURES = 3;

type LogConfig = Pick<Config, 'PREDICTION_LOG_PER_SECOND' | 'PREDICTION_LOG_BYTES_PER_SECOND'>;

export function openPredictionLog(
  platform: Pick<Platform, 'database' | 'db' | 'logger'>,
  config: LogConfig,
): PredictionLog {
  return new BufferedLog(platform, config);
}

class BufferedLog implements PredictionLog {
  readonly #platform: Pick<Platform, 'database' | 'db' | 'logger'>;
  readonly #sample: Sample<Waiting>;
  readonly #largest: number;
  /** As they were at the last flush, to hold no payload that would be thrown away. */
  #settings = new Map<string, Settings>();
  #dropped = new Map<string, number>();
  #timer: NodeJS.Timeout;
  #flushing: Promise<void> = Promise.resolve();
  #failures = 0;
  #complained = 0;
  #closed = false;

  constructor(platform: Pick<Platform, 'database' | 'db' | 'logger'>, config: LogConfig) {
    this.#platform = platform;
    const share = FLUSH_MS / 1_000;
    const bytes = config.PREDICTION_LOG_BYTES_PER_SECOND * share;
    const items = Math.ceil(config.PREDICTION_LOG_PER_SECOND * share);
    this.#sample = new Sample({ items, bytes }, ({ entry }) => this.#drop(entry.deploymentId, 1));
    this.#largest = bytes / LARGEST_SHARE;
    this.#timer = setTimeout(() => this.#turn(), FLUSH_MS);
  }

  record(entry: LogEntry): void {
    const number = this.#sample.draw();
    if (number === undefined) this.#drop(entry.deploymentId, 1);
    else this.#hold(entry, number);
  }

  async close(): Promise<void> {
    this.#closed = true;
    clearTimeout(this.#timer);
    const written = this.#flushing.then(() => this.#flush());
    await Promise.race([written, delay(CLOSE_MS, undefined, { ref: false })]);
  }

  #hold(entry: LogEntry, number: number): void {
    const { inputs, outputs, requestId: _, ...rest } = entry;
    const luck = Math.random();
    const inBytes = heldBytes(inputs);
    const outBytes = outputs ? heldBytes(outputs) : 0;
    const tooLarge = inBytes + outBytes > this.#largest;
    const wanted = !tooLarge && luck < (this.#settings.get(entry.deploymentId)?.sampleRate ?? 1);
    const keepsOutputs = outBytes <= this.#largest;
    const waiting: Waiting = {
      entry: rest,
      requestId: idOf(entry),
      inputs: wanted ? inputs : null,
      outputs: keepsOutputs ? outputs : null,
      tooLarge,
      luck,
    };
    this.#sample.hold(waiting, (wanted ? inBytes : 0) + (keepsOutputs ? outBytes : 0), number);
  }

  #drop(deploymentId: string, count: number): void {
    this.#dropped.set(deploymentId, (this.#dropped.get(deploymentId) ?? 0) + count);
  }

  /** The next one begins a while after this one has ended, however long that takes. */
  #turn(): void {
    this.#flushing = this.#flush().finally(() => {
      if (!this.#closed) this.#timer = setTimeout(() => this.#turn(), FLUSH_MS);
    });
  }

  /** Never rejects. */
  async #flush(): Promise<void> {
    const taken = this.#sample.take();
    const dropped = this.#dropped;
    this.#dropped = new Map();
    if (taken.kept.length === 0 && dropped.size === 0) return;
    try {
      await this.#write(taken, dropped);
      this.#failures = 0;
    } catch (error) {
      this.#failed(error, taken, dropped);
    }
  }

  async #write(taken: Taken<Waiting>, dropped: ReadonlyMap<string, number>): Promise<void> {
    const { db } = this.#platform;
    const ids = new Set(taken.kept.map(({ item }) => item.entry.deploymentId));
    if (ids.size > 0) this.#settings = await findSettings(db, [...ids]);
    const rows: Encoded[] = [];
    for (const [index, { item }] of taken.kept.entries()) {
      if (index % AT_ONCE === AT_ONCE - 1) await setImmediate();
      const row = this.#encode(item);
      if (row) rows.push(row);
    }
    try {
      await insertPredictions(db, rows, dropped);
    } catch (error) {
      if (!isPartitionMissing(error)) throw error;
      await addPartitions(this.#platform, rows);
      await insertPredictions(db, rows, dropped);
    }
  }

  /** What cannot be told as a row takes no other with it. */
  #encode(waiting: Waiting): Encoded | undefined {
    const { deploymentId } = waiting.entry;
    const settings = this.#settings.get(deploymentId);
    if (!settings) return undefined;
    try {
      return encode(waiting, settings);
    } catch (error) {
      this.#drop(deploymentId, 1);
      this.#complain(error);
      return undefined;
    }
  }

  #failed(error: unknown, taken: Taken<Waiting>, dropped: ReadonlyMap<string, number>): void {
    for (const [id, count] of dropped) this.#drop(id, count);
    this.#failures = isDatabaseAway(error) ? 0 : this.#failures + 1;
    if (this.#failures < MOST_FAILURES) this.#sample.putBack(taken);
    else for (const { item } of taken.kept) this.#drop(item.entry.deploymentId, 1);
    this.#complain(error);
  }

  #complain(error: unknown): void {
    if (Date.now() - this.#complained < COMPLAIN_MS) return;
    this.#complained = Date.now();
    this.#platform.logger.warn(
      // Not the error itself: PostgreSQL's may quote the row.
      { reason: error instanceof Error ? error.message : String(error) },
      'predictions could not be logged; they are kept as far as there is room',
    );
  }
}
