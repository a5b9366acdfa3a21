/**
 * Deployments' metrics as they happen: one reader of the streams and one timer in a process, for all subscribers.
 * A second is closed 1.5 s after its end; what arrives later only counts in the rollups.
 */
import type { Logger } from '../platform/logger.ts';
import { systemClock, type Clock } from './clock.ts';
import { withGap, type MetricFrame, type Step } from './frame.ts';
import { History, KEPT_SECONDS } from './history.ts';
import { Mailbox } from './mailbox.ts';
import { StreamReader } from './reader.ts';
import type { Batch } from './stream.ts';

/** How long after its end a second is closed, in milliseconds. */
const WATERMARK_MS = 1_500;
/** How long a start waits for the past, in milliseconds. */
const LOAD_MS = 2_000;
const COMPLAIN_MS = 60_000;

export interface FramesOptions {
  readonly step: Step;
  /** How much of the past to begin with, 0 to 120 seconds. */
  readonly backfillSeconds: number;
}

export interface LiveMetrics {
  /** Resolves once the past is known, or after 2 s when Redis is away. Never rejects. */
  readonly ready: Promise<void>;
  /**
   * The past, then one frame a step, also without traffic. Everything after the call is in it. A reader that is
   * slow gets the newest, with `gapBefore`. It ends with the signal, with `return()`, and with `close()`.
   */
  frames(
    deploymentId: string,
    options: FramesOptions & { readonly signal?: AbortSignal },
  ): AsyncGenerator<MetricFrame, void, void>;
  /** Closed frames, oldest first; the same objects at every call. Empty before `ready`. */
  past(deploymentId: string, options: FramesOptions): readonly MetricFrame[];
  stats(): LiveStats;
  close(): Promise<void>;
}

export interface LiveStats {
  readonly subscribers: number;
  /** Batches that came after their second was closed, or minutes before it, since the start. */
  readonly late: number;
  /** Entries that could not be understood, since the start. */
  readonly unreadable: number;
}

export interface LiveOptions {
  readonly url: string;
  readonly prefix: string;
  readonly logger: Logger;
  readonly clock?: Clock;
}

interface Subscriber {
  readonly step: Step;
  readonly mailbox: Mailbox<MetricFrame>;
}

export function openLiveMetrics(options: LiveOptions): LiveMetrics {
  return new Live(options);
}

class Live implements LiveMetrics {
  readonly ready: Promise<void>;
  readonly #options: LiveOptions;
  readonly #clock: Clock;
  readonly #reader: StreamReader;
  readonly #subscribers = new Map<string, Set<Subscriber>>();
  readonly #mailboxes = new Set<Mailbox<MetricFrame>>();
  #history: History;
  #begun = false;
  #cancel: () => void;
  #late = 0;
  #complained = 0;

  constructor(options: LiveOptions) {
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#history = new History(this.#due() - KEPT_SECONDS);
    const loaded = Promise.withResolvers<void>();
    this.#cancel = this.#clock.wakeAt(this.#clock.now() + LOAD_MS, () => {
      this.#history.skipTo(this.#due());
      loaded.resolve();
    });
    this.#reader = new StreamReader({
      url: options.url,
      prefix: options.prefix,
      logger: options.logger,
      pastSeconds: KEPT_SECONDS + 5,
      onBatch: (shard, batch) => this.#take(shard, batch),
      onLoaded: loaded.resolve,
    });
    this.ready = loaded.promise.then(() => this.#begin());
  }

  frames(
    deploymentId: string,
    options: FramesOptions & { readonly signal?: AbortSignal },
  ): AsyncGenerator<MetricFrame, void, void> {
    const { step, signal } = options;
    const end = (): void => mailbox.end();
    const mailbox = new Mailbox<MetricFrame>(withGap, () => {
      signal?.removeEventListener('abort', end);
      this.#leave(deploymentId, subscriber);
    });
    const subscriber: Subscriber = { step, mailbox };
    if (signal?.aborted) mailbox.end();
    else signal?.addEventListener('abort', end, { once: true });
    this.#mailboxes.add(mailbox);
    if (this.#begun) this.#join(deploymentId, subscriber, options);
    else void this.ready.then(() => this.#join(deploymentId, subscriber, options));
    return mailbox;
  }

  past(deploymentId: string, options: FramesOptions): readonly MetricFrame[] {
    if (!this.#begun) return [];
    return this.#history.past(deploymentId, options.step, options.backfillSeconds);
  }

  stats(): LiveStats {
    return { subscribers: this.#mailboxes.size, late: this.#late, unreadable: this.#reader.unreadable };
  }

  async close(): Promise<void> {
    this.#cancel();
    this.#cancel = () => undefined;
    this.#begun = true;
    for (const mailbox of this.#mailboxes) mailbox.end();
    await this.#reader.close();
  }

  #join(deploymentId: string, subscriber: Subscriber, options: FramesOptions): void {
    if (subscriber.mailbox.ended) return void this.#mailboxes.delete(subscriber.mailbox);
    const set = this.#subscribers.get(deploymentId) ?? new Set();
    this.#subscribers.set(deploymentId, set.add(subscriber));
    subscriber.mailbox.startWith(this.past(deploymentId, options));
  }

  #leave(deploymentId: string, subscriber: Subscriber): void {
    this.#mailboxes.delete(subscriber.mailbox);
    const set = this.#subscribers.get(deploymentId);
    set?.delete(subscriber);
    if (set?.size === 0) this.#subscribers.delete(deploymentId);
  }

  /** The newest second whose time to be closed has come. */
  #due(): number {
    return Math.floor((this.#clock.now() - WATERMARK_MS) / 1000) - 1;
  }

  #begin(): void {
    if (this.#begun) return;
    this.#cancel();
    this.#closeDue();
    this.#begun = true;
    this.#wake();
  }

  #wake(): void {
    const at = (Math.floor((this.#clock.now() - WATERMARK_MS) / 1000) + 1) * 1000 + WATERMARK_MS;
    this.#cancel = this.#clock.wakeAt(at, () => {
      this.#closeDue();
      this.#wake();
    });
  }

  #closeDue(): void {
    const due = this.#due();
    // The clock was set back: waiting for it to catch up would freeze every chart.
    if (due < this.#history.last - 5) this.#history = new History(due - 1);
    // The machine slept: what it missed is not kept anyway.
    if (due > this.#history.last + KEPT_SECONDS) this.#history.skipTo(due - KEPT_SECONDS);
    while (this.#history.last < due) {
      if (this.#reader.behind) this.#history.completeness.markAll(this.#history.last + 1);
      this.#tell(this.#history.close(this.#clock.now()));
    }
  }

  #tell(second: number): void {
    for (const [deploymentId, subscribers] of this.#subscribers) {
      for (const { step, mailbox } of subscribers) {
        const frame = this.#history.frame(deploymentId, step, second);
        if (frame) mailbox.push(frame);
      }
    }
  }

  #take(shard: number, batch: Batch): void {
    if (this.#history.add(shard, batch)) return;
    this.#late++;
    const now = this.#clock.now();
    if (now - this.#complained < COMPLAIN_MS) return;
    this.#complained = now;
    const { writer, second } = batch;
    this.#options.logger.warn(
      { late: this.#late, writer, second },
      'metrics: windows out of time; are the clocks equal?',
    );
  }
}
