/** Reads the streams of windows, all shards at once, from shortly before the present on and for ever. */
import { openRedis, type Redis } from '../platform/redis.ts';
import type { Logger } from '../platform/logger.ts';
import { decodeBatch, isAfter, SHARDS, streamKey, type Batch } from './stream.ts';

export interface ReaderOptions {
  readonly url: string;
  readonly prefix: string;
  readonly logger: Logger;
  /** How far back to start, in seconds. */
  readonly pastSeconds: number;
  readonly onBatch: (shard: number, batch: Batch) => void;
  /** Called once, when everything from the past has been handed over. */
  readonly onLoaded: () => void;
}

const BLOCK_MS = 1_000;
/** Without an answer for this long the connection is half open: a new one. */
const SILENT_MS = 5_000;
const CHECK_MS = 5_000;
const RETRY_MS = 250;
/** Entries of one shard at a time. */
const COUNT = 200;

type Reply = [key: string, entries: [id: string, fields: string[]][]][] | null;

export class StreamReader {
  readonly #options: ReaderOptions;
  readonly #redis: Redis;
  readonly #keys: readonly string[];
  readonly #cursors: string[] = Array.from({ length: SHARDS }, () => '0-0');
  #closed = false;
  #behind = true;
  #loaded = false;
  #checkAt = 0;
  #unreadable = 0;
  #retry: (() => void) | undefined;
  readonly #ended: Promise<void>;

  constructor(options: ReaderOptions) {
    this.#options = options;
    this.#keys = Array.from({ length: SHARDS }, (_, shard) => streamKey(options.prefix, shard));
    this.#redis = openRedis({
      url: options.url,
      mode: 'patient',
      onError: (error) => options.logger.debug({ err: error }, 'metrics: redis'),
    });
    this.#redis.on('close', () => this.#lost());
    this.#ended = this.#run();
  }

  /** Something may be missing: Redis is away, or what it holds was not read to the end. */
  get behind(): boolean {
    return this.#behind;
  }

  /** Entries that could not be understood, since the start. */
  get unreadable(): number {
    return this.#unreadable;
  }

  async close(): Promise<void> {
    this.#closed = true;
    const isBetweenTries = this.#redis.status === 'reconnecting';
    this.#redis.disconnect();
    this.#retry?.();
    // Between two tries to connect ioredis goes without a word to those who wait for an answer: they wait for ever.
    if (!isBetweenTries) await this.#ended;
  }

  #lost(): void {
    if (!this.#behind && !this.#closed)
      this.#options.logger.warn('metrics: Redis is away, frames are partial');
    this.#behind = true;
    this.#checkAt = 0;
  }

  async #run(): Promise<void> {
    let started = false;
    while (!this.#closed) {
      try {
        if (!started) await this.#start();
        started = true;
        await this.#readOnce();
        if (Date.now() >= this.#checkAt) await this.#checkCursors();
      } catch (error) {
        if (this.#closed) return;
        this.#options.logger.debug({ err: error }, 'metrics: reading failed');
        this.#lost();
        await this.#pause();
      }
    }
  }

  #pause(): Promise<void> {
    return new Promise((resolve) => {
      const timer = setTimeout(resolve, RETRY_MS);
      this.#retry = () => {
        clearTimeout(timer);
        resolve();
      };
    });
  }

  /** Redis numbers entries by its own clock, so the start is reckoned by that too. */
  async #start(): Promise<void> {
    const [seconds] = await this.#redis.time();
    this.#cursors.fill(`${(Number(seconds) - this.#options.pastSeconds) * 1000}-0`);
  }

  async #readOnce(): Promise<void> {
    const watchdog = setTimeout(() => this.#redis.disconnect(true), SILENT_MS).unref();
    let reply: Reply;
    try {
      const streams = [...this.#keys, ...this.#cursors];
      reply = await (this.#behind
        ? this.#redis.xread('COUNT', COUNT, 'STREAMS', ...streams)
        : this.#redis.xread('COUNT', COUNT, 'BLOCK', BLOCK_MS, 'STREAMS', ...streams));
    } finally {
      clearTimeout(watchdog);
    }
    let full = false;
    for (const [key, entries] of reply ?? []) {
      const shard = this.#keys.indexOf(key);
      for (const [id, fields] of entries) this.#take(shard, id, fields);
      full ||= entries.length >= COUNT;
    }
    // The connection may have gone while the answer was on its way.
    this.#behind = full || this.#redis.status !== 'ready';
    if (this.#behind || this.#loaded) return;
    this.#loaded = true;
    this.#options.onLoaded();
  }

  #take(shard: number, id: string, fields: string[]): void {
    this.#cursors[shard] = id;
    try {
      this.#options.onBatch(shard, decodeBatch(fields));
    } catch (error) {
      this.#unreadable++;
      this.#options.logger.debug({ err: error, id }, 'metrics: an entry that is not understood');
    }
  }

  /**
   * A stream that was emptied, or is another one now, may number lower than the cursor: a reader that waits for
   * higher numbers would wait for ever. Reading from its beginning is safe: batches are numbered too.
   */
  async #checkCursors(): Promise<void> {
    for (const [shard, key] of this.#keys.entries()) {
      const last = await this.#lastId(key);
      if (isAfter(this.#cursors[shard] ?? '0-0', last)) this.#cursors[shard] = '0-0';
    }
    this.#checkAt = Date.now() + CHECK_MS;
  }

  async #lastId(key: string): Promise<string> {
    try {
      const info = await this.#redis.xinfo('STREAM', key);
      return Array.isArray(info) ? String(info[info.indexOf('last-generated-id') + 1]) : '0-0';
    } catch (error) {
      if (error instanceof Error && error.message.includes('no such key')) return '0-0';
      throw error;
    }
  }
}
